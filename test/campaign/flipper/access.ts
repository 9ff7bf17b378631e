/**
 * A service's process that opens mailboxes first: `access.ts <instance> <engine>` migrates every mailbox in TRANSITION by
 * the library, with the rights it was started with. Exit codes as those of `upgrade -m`.
 */
import { EXIT, exitCodeOf, MailhaulError, migrateMailbox, openSession } from '../../../src/index.js';

/** A folder that another one holds up is none that a service waits for long. */
const LOCK_WAIT_MS = 2_000;

async function openAll(instance: string, engine: 'native' | 'portable'): Promise<number> {
  process.umask(0o077);
  const session = await openSession({ instance }, 'service');
  let code: number = EXIT.ok;
  try {
    for (const { mailbox } of [...session.mapping.folders()]) {
      const report = await migrateMailbox(session, mailbox, {
        engine,
        acceptFailures: true,
        lockWaitMs: LOCK_WAIT_MS,
      });
      for (const error of report.errors) console.log(JSON.stringify(error));
      if (report.halted !== null) console.log(JSON.stringify(report.halted));
      code = Math.max(code, exitCodeOf(report));
    }
  } finally {
    await session.close();
  }
  return code;
}

const [instance = '', engine] = process.argv.slice(2);
try {
  process.exitCode = await openAll(instance, engine === 'portable' ? 'portable' : 'native');
} catch (error) {
  if (!(error instanceof MailhaulError)) throw error;
  console.log(`${error.code}: ${error.message} ${error.where}`);
  process.exitCode = error.exit;
}
