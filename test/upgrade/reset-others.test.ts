/** What the other commands say while a reset is unfinished: writers refuse, readers say what there is to say. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fillFolder, migrate, project, type SmallStore, simpleMessage, smallStore } from '../support/migrated-store.js';
import { commandFile } from '../support/process.js';
import { reset } from './reset-support.js';
import { databases } from './small-store.js';

let store: SmallStore;

beforeEach(() => {
  store = smallStore();
  store.user('joe');
  fillFolder(store, 'joe', 'INBOX', 7, [{ uid: 1, content: simpleMessage('first') }]);
  migrate(store, { remove: true });
});

afterEach(() => store.remove());

/** Runs a built command (`npm test` builds them). */
const run = (command: string, ...args: string[]) => runWith({}, command, ...args);

function runWith(environment: Readonly<Record<string, string>>, command: string, ...args: string[]) {
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    [commandFile(command), ...args, '--instance', store.instance],
    { cwd: project, encoding: 'utf8', env: { ...process.env, ...environment } },
  );
  return { status, signal, stdout, stderr };
}

/** As a reset leaves it that was killed in this stage. */
const mark = (stage: 'restoring' | 'removing') =>
  databases(store, (mapping) => mapping.update((writes) => writes.putMeta({ ...mapping.meta()!, reset: stage })));

const REFUSED = { status: 3, stdout: '', stderr: expect.stringContaining('RESET_UNFINISHED') };

describe.each(['restoring', 'removing'] as const)('while %s', (stage) => {
  it('configutil and msg-setup write nothing, and read', async () => {
    await mark(stage);
    const file = `${store.instance}/config/configdb`;
    const before = fs.readFileSync(file, 'utf8');
    const set = run('configutil', '-o', 'store.partition.primary.path', '-v', '/elsewhere');
    expect(set).toMatchObject(REFUSED);
    expect(set.stderr).toContain('Run `upgrade --reset` again');
    const lines = `${store.root}/lines`;
    fs.writeFileSync(lines, 'local.postmaster|joe\n');
    expect(run('configutil', '-i', lines)).toMatchObject(REFUSED);
    expect(run('msg-setup', '--from', store.from)).toMatchObject(REFUSED);
    expect(fs.readFileSync(file, 'utf8')).toBe(before);
    expect(run('configutil', '-o', 'store.partition.primary.path')).toMatchObject({ status: 0, stderr: '' });
    expect(run('configutil', '-p', 'store.')).toMatchObject({ status: 0, stderr: '' });
    expect(await reset(store)).toMatchObject({ outcome: 'done' });
    expect(run('configutil', '-o', 'local.postmaster', '-v', 'joe')).toMatchObject({ status: 0 });
  });
});

describe('mboxutil', () => {
  it('shows what is there while messages go back, with a warning', async () => {
    await mark('restoring');
    const listed = run('mboxutil', '-l', '--json');
    expect(listed).toMatchObject({ status: 0, stderr: expect.stringContaining('RESET_UNFINISHED') });
    expect(JSON.parse(listed.stdout.split('\n')[0] ?? '')).toMatchObject({ name: 'user/joe/INBOX', messages: 1 });
    expect(run('mboxutil', '--dump', '--json')).toMatchObject({ status: 0 });
  });

  it('refuses once the 4.x side is being removed, whatever of it is left', async () => {
    await mark('removing');
    expect(run('mboxutil', '-l')).toMatchObject(REFUSED);
    expect(run('mboxutil', '--dump', '--json')).toMatchObject(REFUSED);
    fs.rmSync(`${store.instance}/store/mboxlist/mboxlist.mdb-lock`);
    expect(run('mboxutil', '-l')).toMatchObject(REFUSED);
    fs.rmSync(`${store.instance}/store/mboxlist/mboxlist.mdb`);
    expect(run('mboxutil', '-l')).toMatchObject(REFUSED);
    fs.rmSync(`${store.mailbox}/upgrade4x.conf`);
    fs.rmSync(`${store.mailbox}/__upfolder.db-lock`);
    expect(run('mboxutil', '-l')).toMatchObject(REFUSED);
  });

  it('says DB_MISSING after a reset that is done', async () => {
    await reset(store);
    expect(run('mboxutil', '-l')).toMatchObject({ status: 3, stderr: expect.stringContaining('DB_MISSING') });
  });
});

it('no command crashes wherever a reset is killed', () => {
  let killed = 0;
  // Each goes on where the one before was killed.
  for (let n = 5; n < 200; n += 3) {
    const { signal, status, stderr } = runWith({ MAILHAUL_FAULT: `kill:${n}` }, 'upgrade', '--reset', '--yes');
    for (const args of [
      ['mboxutil', '-l'],
      ['mboxutil', '--dump'],
      ['upgrade', '--status'],
    ]) {
      const told = run(args[0] ?? '', ...args.slice(1));
      expect([0, 3], told.stderr).toContain(told.status);
      expect(told.stderr).not.toMatch(/INTERNAL|SYSTEM_CALL/);
      if (told.status === 3) expect(told.stderr).toMatch(/RESET_UNFINISHED|DB_MISSING|FOLDERS_FIRST/);
    }
    if (signal === null) {
      expect(status, stderr).toBe(0);
      break;
    }
    killed += 1;
  }
  expect(killed).toBeGreaterThan(1);
}, 300_000);
