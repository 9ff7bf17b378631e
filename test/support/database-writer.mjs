/**
 * A process of its own that writes to the mailbox database:
 * `database-writer.mjs <directory> <user> <count> [create]`. Prints `resolved <n>` after each update.
 */
import { writeSync } from 'node:fs';
import { armFaults, MailhaulError, openMailboxDatabase, parseFaultPlan } from '../../dist/test/inside.js';

const [directory = '', user = '', count = '', create] = process.argv.slice(2);
const database = await openMailboxDatabase(directory, { create: create === 'create' });
armFaults(parseFaultPlan(process.env.MAILHAUL_FAULT));
const summary = { messages: 1, bytes: 1, lastAppend: 0, seen: 0, answered: 0, flagged: 0, deleted: 0, draft: 0 };
for (let i = 0; i < Number(count); i++) {
  try {
    await database.update((writes) => {
      writes.put({
        name: `user/${user}/${i}`,
        owner: 'counter',
        legacyName: 'x'.repeat(500),
        partition: 'primary',
        acl: [],
        uidvalidity: 1,
        uidnext: 1,
        state: 'TRANSITION',
        summary: null,
        mappingId: null,
        root: null,
      });
      // The quota is read, added to and written: lost updates would show in the sum.
      writes.publish(`user/${user}/${i}`, { summary, uidvalidity: 1, uidnext: 2, root: '/' });
    });
  } catch (error) {
    writeSync(2, `wrote ${i}, then ${error instanceof MailhaulError ? error.code : String(error)}\n`);
    process.exit(error instanceof MailhaulError ? error.exit : 1);
  }
  writeSync(1, `resolved ${i}\n`);
}
await database.close();
