/**
 * Opens damaged mailbox databases: `node database-child.js <directory> <seed> <first> <count> [<input>…]`. In
 * `<directory>/case` is the number of the database in hand and where it was changed, in `<directory>/db/mboxlist.mdb`
 * the database: LMDB maps the file, so that damage in a page may end the process.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { MailhaulError } from '../../../src/errors.js';
import { closeDir, type Dir, openRoot } from '../../../src/fs/dir.js';
import { MAILBOX_DATABASE_FILE, openMailboxDatabase } from '../../../src/store/database.js';
import { Chance } from './random.js';

const [directory = '', seed = '', first = '0', count = '0', ...inputs] = process.argv.slice(2);
const PAGE = 4096;

const place = join(directory, 'db');
const dir = openPlace();

function openPlace(): Dir {
  fs.mkdirSync(place, { recursive: true });
  return openRoot(place);
}

function clear(): void {
  for (const name of fs.readdirSync(place)) fs.rmSync(join(place, name));
}

/** A small sound database, as this program makes it. */
async function sample(): Promise<Buffer> {
  clear();
  const database = await openMailboxDatabase(dir, { create: true });
  for (let round = 0; round < 3; round++) {
    await database.update((writes) => {
      for (let i = 0; i < 40; i++) {
        writes.put({
          name: `user/u${i}/INBOX`,
          owner: `u${i}`,
          legacyName: 'INBOX',
          partition: 'primary',
          acl: [{ identifier: `u${i}`, rights: 'lrswipcda' }],
          uidvalidity: i + 1,
          uidnext: round + 1,
          state: 'TRANSITION',
          summary: null,
          mappingId: i + 1,
          root: null,
        });
        writes.setQuota(`u${i}`, { limit: 5, usedBytes: round, usedMessages: 0 });
        writes.setSubscriptions(`u${i}`, [`user/u${i}/INBOX`]);
      }
    });
  }
  await database.close();
  return fs.readFileSync(join(place, MAILBOX_DATABASE_FILE));
}

/** A damaged copy, and where the damage lies: `meta`, `page`, `cut` or `noise`. */
function damage(chance: Chance, sound: Buffer): { bytes: Buffer; where: string } {
  const bytes = Buffer.from(sound);
  switch (chance.below(8)) {
    case 0:
      return { bytes: bytes.subarray(0, chance.below(bytes.length)), where: 'cut' };
    case 1:
      return {
        bytes: Buffer.from(Array.from({ length: chance.below(3 * PAGE) }, () => chance.below(256))),
        where: 'noise',
      };
    case 2:
    case 3:
    case 4:
    case 5: {
      // The bytes of a meta page that the header check looks at, in one or both.
      const at = chance.below(152);
      const value = chance.pick([0, 1, 0x7f, 0x80, 0xff, chance.below(256)]);
      const width = chance.pick([1, 1, 2, 4, 8]);
      for (const page of chance.pick([[0], [1], [0, 1]]))
        bytes.fill(value, page * PAGE + at, page * PAGE + Math.min(at + width, 152));
      return { bytes, where: `meta ${at}` };
    }
    default: {
      const at = 2 * PAGE + chance.below(bytes.length - 2 * PAGE);
      bytes[at] = chance.below(256);
      return { bytes, where: `page ${at}` };
    }
  }
}

async function use(): Promise<void> {
  const database = await openMailboxDatabase(dir, {});
  try {
    for (const { owner } of database.list('', () => {})) {
      database.quota(owner);
      database.subscriptions(owner);
    }
    database.highestPublished();
    await database.update((writes) => writes.setQuota('u1', { limit: 6, usedBytes: 1, usedMessages: 1 }));
  } finally {
    await database.close();
  }
}

async function tryOne(number: number, bytes: Buffer, where: string, name: string): Promise<void> {
  fs.writeFileSync(join(directory, 'case'), `${number} ${where}`);
  clear();
  fs.writeFileSync(name, bytes, { mode: 0o600 });
  try {
    await use();
  } catch (error) {
    if (error instanceof MailhaulError) return;
    // What LMDB says of a page is an error of its own; the command shows it and ends.
    if (error instanceof Error && /^MDB_|^Error: MDB_|LMDB|Invalid|corrupt/i.test(error.message)) return;
    process.stderr.write(`case ${number} ${where}: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(3);
  }
}

const sound = await sample();
const name = join(place, MAILBOX_DATABASE_FILE);
for (const input of inputs) await tryOne(0, fs.readFileSync(input), 'input', name);
for (let i = Number(first); i < Number(first) + Number(count); i++) {
  const { bytes, where } = damage(new Chance(`${seed} ${i}`), sound);
  await tryOne(i, bytes, where, name);
}
closeDir(dir);
