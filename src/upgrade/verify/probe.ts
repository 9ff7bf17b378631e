/**
 * Reads every entry of both databases in a process of its own. LMDB maps its file and trusts it: a file that was cut
 * or overwritten ends the process that reads it (SIGBUS, SIGSEGV, SIGABRT), and a verification must say so instead.
 *
 *     node probeMain.js <store/mboxlist> <directory of __upfolder.db> <uid> <gid>      exit 0: all of it can be read
 */
import { spawn } from 'node:child_process';
import { EXIT, MailhaulError } from '../../errors.js';
import { builtFile } from '../../package.js';

/**
 * @throws MailhaulError VERIFY_DATABASE (exit 3) when the databases cannot be read to their ends
 */
export async function probeDatabases(
  mboxlist: string,
  workDir: string,
  owner: { readonly uid: number; readonly gid: number },
): Promise<void> {
  const words = [builtFile('upgrade/verify/probeMain.js'), mboxlist, workDir, String(owner.uid), String(owner.gid)];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'ignore'] });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4096);
  });
  const ended = await new Promise<string | undefined>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code === 0 ? undefined : (signal ?? `exit ${code}`)));
  });
  if (ended === undefined) return;
  const at = said.trim().split('\n').at(-1) ?? '';
  throw new MailhaulError('VERIFY_DATABASE', `A database is damaged: reading it ended with ${ended}.`, {
    where: at === '' ? mboxlist : at,
    hint: 'Restore `store/mboxlist` and `__upfolder.db` together from a backup.',
    exit: EXIT.refused,
  });
}
