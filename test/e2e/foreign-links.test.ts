/**
 * A root, or what leads to one, exchanged for a link of the server account to a look-alike that only root and that
 * account could touch: root refuses it by name and writes nothing there. The same link as root's own is followed.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ACCOUNT, needRoot, snapshot } from '../upgrade/small-store.js';
import { type HandSite, handSite } from './hand-site.js';

const MESSAGE = 'From: a\r\nSubject: hello\r\n\r\nbody\r\n';

let site: HandSite;
beforeEach((ctx) => {
  needRoot(ctx);
  site = handSite();
  const { store } = site;
  const disk = store.storePath('mail/disk');
  store.user('ann');
  store.user('bob', { mailMessageStore: disk });
  for (const [path, uid] of [
    [store.mailbox, 'ann'],
    [disk, 'bob'],
  ] as const) {
    const index = `NSMB 3 7 3\n1 1000 S ${MESSAGE.length} one\n`;
    fs.writeFileSync(join(store.folder(path, uid, 'INBOX', index), 'one'), MESSAGE);
  }
  fs.mkdirSync(join(store.root, 'work'));
  store.finish();
  fs.chownSync(join(store.root, 'work'), ACCOUNT.uid, ACCOUNT.gid);
  expect(site.folders('--work-dir', join(store.root, 'work'))).toMatchObject({ status: 0 });
});
afterEach(() => site?.remove());

const elsewhere = (): string => join(site.store.root, 'elsewhere');

/** Moves the directory away and puts a link to it in its place. */
function exchange(path: string): void {
  const alike = join(elsewhere(), 'alike');
  fs.mkdirSync(elsewhere(), { mode: 0o700 });
  fs.renameSync(path, alike);
  fs.symlinkSync(alike, path);
}

/** `path` below the root, and commands that need it. */
const ROOTS: [what: string, path: string, commands: ('-s' | '-m' | '-u' | '--verify' | '--reset')[]][] = [
  ['a store path', 'mail/disk', ['-s', '-m', '--reset']],
  ['the default mailbox directory', 'mail/default', ['-m']],
  ['a partition', 'mail/disk/.0004x.disk', ['-m', '--verify']],
  ['the directory that leads to them', 'mail', ['-s']],
  ['the instance', 'server4/msg-new', ['-m']],
  ['the work directory', 'work', ['-s', '-u']],
];

function run(command: string): ReturnType<HandSite['run']> {
  const { root } = site.store;
  if (command === '-s') return site.folders('--work-dir', join(root, 'work'));
  if (command === '-u') return site.run('upgrade', '-u', join(root, 'work/__up.disk.txt'));
  return command === '--reset' ? site.run('upgrade', '--reset', '--yes') : site.run('upgrade', command);
}

describe('a link of the server account is refused by root:', () => {
  it.each(ROOTS)('%s', (_, path, commands) => {
    const place = join(site.store.root, path);
    exchange(place);
    fs.lchownSync(place, ACCOUNT.uid, ACCOUNT.gid);
    for (const command of commands) {
      const before = snapshot(elsewhere());
      const { status, stdout, stderr } = run(command);
      expect(`${command}: ${stdout}${stderr}`).toMatch(/A symbolic link of another account is not followed/);
      expect(`${command}: ${stdout}${stderr}`).toContain(`chown -h root ${place}`);
      expect(status, command).not.toBe(0);
      expect(snapshot(elsewhere()), command).toEqual(before);
    }
    fs.lchownSync(place, 0, 0);
    const { status, stdout, stderr } = run('-m');
    expect(`${status} ${stdout}${stderr}`).toMatch(/^0 /);
  });
});
