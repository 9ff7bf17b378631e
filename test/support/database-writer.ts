/** A process of its own that writes to the mailbox database: `database-writer.ts <directory> <user> <count>`. */
import { openMailboxDatabase } from '../../src/store/database.js';

const [directory = '', user = '', count = ''] = process.argv.slice(2);
const database = await openMailboxDatabase(directory);
for (let i = 0; i < Number(count); i++) {
  await database.update((writes) => {
    writes.put({
      name: `user/${user}/${i}`,
      owner: 'counter',
      legacyName: null,
      partition: 'primary',
      acl: [],
      uidvalidity: 1,
      uidnext: 1,
      state: 'TRANSITION',
      summary: null,
      mappingId: null,
      root: null,
    });
    // Read, add, write: lost updates would show in the sum.
    const summary = { messages: 1, bytes: 1, lastAppend: 0, seen: 0, answered: 0, flagged: 0, deleted: 0, draft: 0 };
    writes.publish(`user/${user}/${i}`, { summary, uidvalidity: 1, uidnext: 2, root: '/' });
  });
}
await database.close();
