/** Both engines on the same random folders: hostile, changed, shared and repeated. They must agree on everything. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { nativeEngine } from '../../../src/engine/native/engine.js';
import { portableEngine } from '../../../src/engine/portable/engine.js';
import type { EngineInput, FolderEngine } from '../../../src/engine/types.js';
import { loadDigest } from '../../../src/store/digest.js';
import { type Row, type TestFolder, withFolder } from '../portable/folder.js';
import { needAddon, needRoot, outcomes } from './support.js';

/** A small random number generator with a seed (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

type Make = (folder: TestFolder, name: string, below: (n: number) => number) => void;

const text = (below: (n: number) => number, end: string): string =>
  [`Subject: ${below(1000)}`, 'Content-Type: text/plain', '', ...Array(below(20)).fill('line')].join(end) + end;

const KINDS: Make[] = [
  (folder, name, below) => folder.write(name, text(below, '\r\n')),
  (folder, name, below) => folder.write(name, text(below, '\n')),
  (folder, name) => folder.write(name, ''),
  (folder, name, below) => folder.write(name, Buffer.from(Array.from({ length: 300 }, () => below(256)))),
  (folder, name) => fs.symlinkSync('/etc/passwd', `${folder.source}/${name}`),
  (folder, name) => fs.mkdirSync(`${folder.source}/${name}`),
  (folder, name) => spawnSync('mkfifo', [`${folder.source}/${name}`]),
  (folder, name, below) => fs.chownSync(folder.write(name, text(below, '\n')), 4242, 4242),
  (folder, name, below) => fs.chmodSync(folder.write(name, text(below, '\r\n')), 0o646),
  (folder, name, below) => fs.linkSync(folder.write(name, text(below, '\n')), `${folder.source}/${name} twin`),
  () => undefined, // no file
];

/** Changes to some files after the record was made. */
function disturb(folder: TestFolder, names: readonly string[], below: (n: number) => number): void {
  for (const name of names) {
    const file = `${folder.source}/${name}`;
    if (below(8) !== 0 || !fs.lstatSync(file, { throwIfNoEntry: false })?.isFile()) continue;
    if (below(2) === 0) fs.appendFileSync(file, 'more');
    else fs.rmSync(file);
  }
}

function run(engine: FolderEngine, folder: TestFolder, input: EngineInput) {
  return withFolder((target) => {
    const places = { targetFd: target.open(target.target), singleFd: target.open(target.single) };
    const attempts = [input, { ...input, resumed: true }].map((attempt) => {
      const output = engine.migrate({ ...attempt, ...places, progress: new Int32Array(new SharedArrayBuffer(64)) });
      const { errnos, summary, bytes, halt, stopped } = output;
      return { outcomes: outcomes(output), errnos: [...errnos], summary, bytes, halt, stopped };
    });
    const files = target.targetFiles().map((name) => {
      const { mode, uid, gid } = fs.statSync(`${target.target}/${name}`);
      return [name, mode, uid, gid, fs.readFileSync(`${target.target}/${name}`).toString('hex')];
    });
    expect(fs.readdirSync(folder.target)).toEqual([]);
    return { attempts, files };
  });
}

describe('both engines', () => {
  beforeAll(() => loadDigest());

  it('agree on every outcome, file and byte of random folders', (ctx) => {
    const native = nativeEngine(needAddon(ctx));
    needRoot(ctx);
    let published = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const below = random(seed);
      withFolder((folder) => {
        // Seeds below 20 hold good messages only: without `publishWithFailures` those get an index too.
        const kinds = seed < 20 ? KINDS.slice(0, 4) : KINDS;
        const rows: Row[] = Array.from({ length: 1 + below(40) }, (_, i) => ({
          uid: 1 + 7 * i + below(7),
          name: `message ${i}`,
          flags: below(32),
          keywords: below(3) === 0 ? [`k${below(4)}`] : [],
          refused: below(30) === 0 && seed >= 20 ? 1 + below(7) : 0,
        }));
        for (const { name } of rows) kinds[below(kinds.length)]?.(folder, String(name), below);
        const input = folder.input(rows, {
          setOwner: true,
          ownerGid: 4243,
          takeForeign: below(2) === 0,
          publishWithFailures: below(2) === 0,
        });
        if (seed >= 40)
          disturb(
            folder,
            rows.map((row) => String(row.name)),
            below,
          );
        const [one, two] = [native, portableEngine()].map((engine) => run(engine, folder, input));
        expect([seed, one]).toEqual([seed, two]);
        if (one?.attempts[1]?.summary) published++;
      });
    }
    expect(published).toBeGreaterThan(20);
  });
});
