/**
 * The store that is fought over, put back to the state after `upgrade -s` for every life of it: two users, folders that
 * wait for their migration under the names that services use, two partitions that the INBOXes share among them, and a
 * 3.x folder that comes late.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fillFolder } from '../../support/migrated-store.js';
import { commandFile } from '../../support/process.js';
import { ACCOUNT, smallStore } from '../../upgrade/small-store.js';
import type { Partition } from './order.js';

export interface Ground {
  readonly root: string;
  readonly instance: string;
  readonly users: readonly [string, string];
  readonly partitions: readonly Partition[];
  /** Arguments of `-s` and `-m`, and of `--verify`. */
  readonly commands: { readonly [command in 'folders' | 'messages' | 'verify']: readonly string[] };
  run(command: readonly string[]): SpawnSyncReturns<string>;
  /** The 3.x folder that `-s` has not seen appears; nothing when it is there. */
  addLateFolder(): void;
  restore(): void;
}

const USERS = ['anna', 'bob'] as const;
/** The folder that comes late gets a name that a service may have given to a mailbox of its own. */
const LATE = 'C';
const FOLDERS: readonly (readonly [user: string, folder: string])[] = [
  [USERS[0], 'INBOX'],
  [USERS[0], 'A'],
  [USERS[0], 'A/x'],
  [USERS[0], 'T'],
  [USERS[0], 'T/x'],
  [USERS[0], LATE],
  [USERS[1], 'INBOX'],
  [USERS[1], 'A'],
];
/** Messages of each folder. */
const MESSAGES = 3;

export function makeGround(root: string): Ground {
  const store = smallStore(root);
  const site = store.root;
  const second = store.storePath('mail/second');
  const away = path.join(root, 'late');
  store.user(USERS[0]);
  store.user(USERS[1], { mailMessageStore: second });
  FOLDERS.forEach(([user, folder], i) => {
    const messages = Array.from({ length: MESSAGES }, (_, n) => ({
      uid: 2 * n + 1,
      content: `Subject: ${user} ${folder} ${n}\r\n\r\nfrom 3.x\r\n`,
    }));
    const mailbox = user === USERS[0] ? store.mailbox : second;
    fillFolder({ ...store, mailbox }, user, folder, 100 + i, messages);
  });
  store.finish();
  const late = path.join(store.mailbox, USERS[0], LATE);
  fs.renameSync(late, away);
  const run = (command: readonly string[]): SpawnSyncReturns<string> =>
    spawnSync(process.execPath, [commandFile('upgrade'), ...command], { encoding: 'utf8', maxBuffer: 1 << 28 });
  const { instance } = store;
  const folders = ['-s', '--instance', instance, '--from', store.from, '--directory', store.ldif];
  must(run(folders), '-s');
  const kept = path.join(root, 'kept');
  copy(site, kept);
  return {
    root,
    instance,
    users: USERS,
    partitions: [
      { partition: 'primary', root: path.join(instance, 'store/partition/primary') },
      { partition: 'second', root: path.join(second, '.0004x.second') },
    ],
    commands: {
      folders,
      messages: ['-m', '--json', '--instance', instance, '-t', '1'],
      verify: ['--verify', '--json', '--instance', instance, '-t', '1'],
    },
    run,
    addLateFolder() {
      if (!fs.existsSync(late)) copy(away, late);
    },
    restore() {
      fs.rmSync(site, { recursive: true, force: true });
      copy(kept, site);
    },
  };
}

function copy(from: string, to: string): void {
  must(spawnSync('cp', ['-a', from, to], { encoding: 'utf8' }), `cp -a ${from}`);
}

function must({ status, stderr }: SpawnSyncReturns<string>, what: string): void {
  if (status !== 0) throw new Error(`${what}: ${status}: ${stderr}`);
}

/** The server account, which owns what services make. */
export const OWNER = { uid: ACCOUNT.uid, gid: ACCOUNT.gid };
