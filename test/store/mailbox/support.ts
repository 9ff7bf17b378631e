/** A partition, a mailbox database and mailboxes made by the library, below a temporary directory. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { closeDir, openRoot } from '../../../src/fs/dir.js';
import { armFaults } from '../../../src/fs/seam.js';
import { openMailboxDatabase } from '../../../src/store/database.js';
import { openMailboxIndex } from '../../../src/store/index/mailboxIndex.js';
import { changeMailbox } from '../../../src/store/mailbox/change.js';
import type { MailStore } from '../../../src/store/mailbox/held.js';
import { createMailbox } from '../../../src/store/mailbox/names.js';
import { mailboxPathComponents } from '../../../src/store/names.js';

export interface TestStore extends MailStore {
  readonly partition: string;
  make(name: string, ...messages: string[]): Promise<void>;
  /** Absolute path of a mailbox directory. */
  directory(name: string): string;
  /** By mailbox: uids with their content, read from the index and the files; the directory must be there. */
  content(): Record<string, string[]>;
  /** Every file and directory of the partition. */
  files(): string[];
  close(): Promise<void>;
}

export const UIDVALIDITY = 7;

/** In memory where that can be had: every change is synced, many times in a test that stops at call after call. */
export async function testStore(): Promise<TestStore> {
  const memory = fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const base = fs.mkdtempSync(path.join(memory, 'mailhaul-mailbox-'));
  const partition = path.join(base, 'partition');
  fs.mkdirSync(partition, { mode: 0o700 });
  fs.mkdirSync(path.join(base, 'mboxlist'));
  const mailboxes = await openMailboxDatabase(path.join(base, 'mboxlist'), { create: true });
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const store: MailStore = { mailboxes, owner, lockWaitMs: 200 };
  const directory = (name: string): string =>
    path.join(partition, ...mailboxPathComponents(name.split('/')[1] ?? '', name));
  return {
    ...store,
    partition,
    async make(name, ...messages) {
      const uid = name.split('/')[1] ?? '';
      await createMailbox(store, name, { owner: uid, partition: 'test', root: partition, uidvalidity: UIDVALIDITY });
      if (messages.length === 0) return;
      await changeMailbox(store, name, (changes) => {
        for (const text of messages) changes.append({ content: Buffer.from(text), internalDate: 5 });
      });
    },
    directory,
    content() {
      mailboxes.refresh();
      const found: Record<string, string[]> = {};
      for (const { name, summary, uidnext } of mailboxes.list()) {
        const dir = openRoot(directory(name));
        const index = openMailboxIndex(dir);
        found[name] = [...index.messages()].map(({ uid }) => {
          const file = path.join(directory(name), String(Math.floor(uid / 100)).padStart(2, '0'), `${uid}.msg`);
          return `${uid} ${fs.readFileSync(file, 'latin1')}`;
        });
        if (summary?.messages !== index.count || uidnext !== index.uidnext) {
          found[name].push(`database: ${summary?.messages} messages, uidnext ${uidnext}`);
        }
        index.close();
        closeDir(dir);
      }
      return found;
    },
    files: () => (fs.readdirSync(partition, { recursive: true }) as string[]).sort(),
    async close() {
      await mailboxes.close();
      fs.rmSync(base, { recursive: true, force: true });
    },
  };
}

/** Runs `action` with its n-th effective call failing, which upkeep does not tell; true when there was an n-th call. */
export async function failingAt(n: number, action: () => Promise<unknown>): Promise<boolean> {
  const counter = armFaults({ mode: 'fail', at: n, errno: 5, report: '' });
  try {
    await action();
  } catch {
    // What is left of it, the test looks at.
  } finally {
    armFaults(undefined);
  }
  return Atomics.load(counter ?? new Int32Array(1), 0) >= n;
}
