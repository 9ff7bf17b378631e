/**
 * The last moment before an index has its name, where an attempt before has left one: the process is stopped right
 * before the rename, somebody puts another file in place of the one that was written, and the process goes on. Both
 * engines, in processes of their own.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { selectEngine } from '../../src/engine/engines.js';
import { loadDigest } from '../../src/store/digest.js';
import { openIndex } from '../../src/store/index/reader.js';
import { needAddon } from './native/support.js';
import { TestFolder, withFolder } from './portable/folder.js';

const project = fileURLToPath(new URL('../..', import.meta.url));
const MESSAGE = 'Subject: one\r\n\r\nText\r\n';
/** Of a victim of whoever exchanges the file. */
const SECRET = 'another file';

type EngineName = 'native' | 'portable';

const argv = (engine: EngineName, folder: TestFolder): string[] => [
  '--import',
  'tsx',
  'test/engine/one-folder.ts',
  engine,
  folder.root,
  'm',
];

/** The message, and the index of an attempt before. */
function fill(folder: TestFolder): void {
  folder.write('m', MESSAGE);
  fs.writeFileSync(`${folder.target}/store.idx`, 'an index');
}

/** How many effective calls the folder takes. */
function callsOf(engine: EngineName): number {
  return withFolder((folder) => {
    fill(folder);
    const report = `${folder.root}/calls`;
    const env = { ...process.env, MAILHAUL_FAULT: `count:${report}` };
    const { status, stderr } = spawnSync(process.execPath, argv(engine, folder), {
      cwd: project,
      env,
      encoding: 'utf8',
    });
    expect(status, stderr).toBe(0);
    return Number(fs.readFileSync(report, 'utf8'));
  });
}

let child: ChildProcess | undefined;

/** Starts the process and waits until it has stopped itself before its `at`-th call; `goOn` gives its outcome. */
async function stopBefore(
  engine: EngineName,
  folder: TestFolder,
  at: number,
): Promise<{ goOn(): Promise<Record<string, unknown>> }> {
  const env = { ...process.env, MAILHAUL_FAULT: `stop:${at}` };
  const started = spawn(process.execPath, argv(engine, folder), {
    cwd: project,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child = started;
  const pieces: Buffer[] = [];
  started.stdout.on('data', (piece: Buffer) => pieces.push(piece));
  const over = new Promise((resolve) => started.once('close', resolve));
  while (!/\) T/.test(fs.readFileSync(`/proc/${started.pid}/stat`, 'latin1'))) {
    expect(started.exitCode).toBeNull();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return {
    async goOn() {
      started.kill('SIGCONT');
      await over;
      return JSON.parse(Buffer.concat(pieces).toString()) as Record<string, unknown>;
    },
  };
}

const EXCHANGES: Readonly<Record<string, (unfinished: string, victim: string) => void>> = {
  'another file': (unfinished) => fs.writeFileSync(unfinished, SECRET),
  'a symbolic link': (unfinished, victim) => fs.symlinkSync(victim, unfinished),
  'a hard link': (unfinished, victim) => fs.linkSync(victim, unfinished),
};

describe.each<EngineName>(['native', 'portable'])('an index that is exchanged right before its rename, %s', (name) => {
  beforeAll(loadDigest);
  afterEach(() => void child?.kill('SIGKILL'));

  it('is not taken for the one that was written; the next attempt writes it anew', async (ctx) => {
    if (name === 'native') needAddon(ctx);
    const calls = callsOf(name);
    for (const [what, exchange] of Object.entries(EXCHANGES)) {
      const folder = await exchanged(name, calls, exchange);
      try {
        expect([what, folder.targetFiles()]).toEqual([what, ['00/1.msg', 'store.idx']]);
        // The victim's content and the message: neither was touched.
        expect([what, fs.readFileSync(`${folder.root}/victim`, 'latin1')]).toEqual([what, SECRET]);
        expect([what, fs.readFileSync(`${folder.target}/00/1.msg`, 'latin1')]).toEqual([what, MESSAGE]);
        const engine = await selectEngine(name);
        const again = engine.migrate(folder.input([{ uid: 1, name: 'm' }], { resumed: true }));
        expect([what, again.halt, again.summary?.messages]).toEqual([what, null, 1]);
        const index = fs.readFileSync(`${folder.target}/store.idx`);
        expect([what, openIndex(index).byUid(1)?.size]).toEqual([what, MESSAGE.length]);
        expect(fs.lstatSync(`${folder.target}/store.idx`).isFile()).toBe(true);
        expect([what, fs.readFileSync(`${folder.root}/victim`, 'latin1')]).toEqual([what, SECRET]);
      } finally {
        folder.remove();
      }
    }
  });
});

/** The folder after an attempt whose index was exchanged in the last moment. */
async function exchanged(
  name: EngineName,
  calls: number,
  exchange: (unfinished: string, victim: string) => void,
): Promise<TestFolder> {
  const folder = new TestFolder();
  try {
    fill(folder);
    const victim = `${folder.root}/victim`;
    fs.writeFileSync(victim, SECRET);
    const stopped = await stopBefore(name, folder, calls);
    // The rename is the last call of all, and it has not been made.
    expect(folder.targetFiles()).toEqual(['00/1.msg', 'store.idx', 'store.idx.new']);
    const unfinished = `${folder.target}/store.idx.new`;
    fs.unlinkSync(unfinished);
    exchange(unfinished, victim);
    const outcome = await stopped.goOn();
    expect(outcome).toMatchObject({
      summary: null,
      errors: [0],
      halt: { errno: constants.errno.EEXIST, side: 'target' },
    });
    return folder;
  } catch (error) {
    folder.remove();
    throw error;
  }
}
