/** Commands as the server account with another group than its own: whatever they made would have that one. */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commandFile } from '../support/process.js';
import { ACCOUNT, INDEX, needRoot, run, type SmallStore, smallStore, snapshot } from './small-store.js';

let store: SmallStore;
beforeAll(async () => {
  store = smallStore();
  store.user('fred');
  store.folder(store.mailbox, 'fred', 'INBOX', INDEX(10));
  store.finish();
  await run(store);
});
afterAll(() => store.remove());

function runWith(gid: number, name: string, args: readonly string[]) {
  const argv = [commandFile(name), '--instance', store.instance, ...args];
  return spawnSync(process.execPath, argv, { encoding: 'utf8', uid: ACCOUNT.uid, gid, cwd: '/' });
}

const WRITING: readonly (readonly [string, readonly string[]])[] = [
  ['upgrade', ['-s']],
  ['upgrade', ['-s', '--dry-run']],
  ['upgrade', ['-m']],
  ['upgrade', ['-m', '--dry-run']],
  ['upgrade', ['--throttle', '--bwlimit', '1M']],
  ['upgrade', ['--reset', '--yes']],
  ['configutil', ['-o', 'service.imap.port', '-v', '1143']],
  ['msg-setup', []],
];

describe('with another group', () => {
  it.for(WRITING)('%s %j is refused, and nothing is written', ([name, args], ctx) => {
    needRoot(ctx);
    const before = snapshot(store.root);
    const more = args[0] === '-s' ? ['--directory', store.ldif] : [];
    const { status, stderr } = runWith(ACCOUNT.gid + 1, name, [...args, ...more]);
    expect([status, stderr]).toEqual([3, expect.stringMatching(/CONF_ACCOUNT_GROUP.*\n.*sg /)]);
    expect(snapshot(store.root)).toEqual(before);
  });

  it('what only reads is not', (ctx) => {
    needRoot(ctx);
    for (const [name, args] of [
      ['upgrade', ['--status']],
      ['configutil', ['-o', 'local.hostname']],
      ['mboxutil', ['-l']],
    ] as const) {
      expect([name, runWith(ACCOUNT.gid + 1, name, args).status]).toEqual([name, 0]);
    }
  });
});

it('with its own group -m is done, and --verify finds nothing', (ctx) => {
  needRoot(ctx);
  expect(runWith(ACCOUNT.gid, 'upgrade', ['-m']).status).toBe(0);
  const { status, stdout } = runWith(ACCOUNT.gid, 'upgrade', ['--verify']);
  expect(status, stdout).toBe(0);
});
