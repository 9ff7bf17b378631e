/**
 * A service's process that opens mailboxes: `access.ts <instance> <seed>` migrates every mailbox in TRANSITION by the
 * library, in an order of its own. Exit 0 when it has gone through all.
 */
import { migrateMailbox, openSession } from '../../../src/index.js';
import { randomOf } from '../../support/generate/random.js';

const [instance = '', seed = ''] = process.argv.slice(2);
process.umask(0o077);
const session = await openSession({ instance }, 'service');
try {
  const random = randomOf(seed, 'access');
  const names = Array.from(session.mapping.folders(), ({ mailbox }) => ({ mailbox, order: random.next() }))
    .sort((a, b) => a.order - b.order)
    .map(({ mailbox }) => mailbox);
  for (const mailbox of names) {
    const report = await migrateMailbox(session, mailbox, { acceptFailures: true });
    for (const { code, message } of report.errors) process.stdout.write(`${JSON.stringify({ code, message })}\n`);
    if (report.halted !== null) process.stdout.write(`${JSON.stringify(report.halted)}\n`);
  }
} finally {
  await session.close();
}
