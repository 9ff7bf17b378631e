/**
 * Full link counts on a real ext4 (65,000 links of an inode): messages shared by many mailboxes of which the source
 * has 65,000 links, or 64,999, or reaches them in the middle of a run by two processes (4x-store.md, promise 5).
 */
import type { ChildProcess } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { handSite, MAIL, putMail } from '../../e2e/hand-site.js';
import { mountExt4, mountMissing, run } from '../../e2e/loop.js';
import { ACCOUNT, INDEX } from '../../upgrade/small-store.js';

const MOST_LINKS = 65_000;
const USERS = 12;

export async function links(
  engines: readonly string[],
): Promise<{ cases: number; problems: string[]; notes: string[] }> {
  const missing = mountMissing();
  if (missing !== undefined) return { cases: 0, problems: [], notes: [`full link counts were not tried: ${missing}`] };
  const problems: string[] = [];
  let cases = 0;
  for (const engine of engines) {
    // Free links when the run starts: none, one, and enough for some of the mailboxes.
    for (const free of [0, 1, 5]) {
      cases += 1;
      try {
        await fullLinks(engine === 'native' ? '--native' : '--no-native', free);
      } catch (error) {
        problems.push(`${free} free links, ${engine}: ${error instanceof Error ? error.message : error}`);
      }
    }
  }
  return { cases, problems, notes: [] };
}

/** Throws for the first thing that is wrong. */
export async function fullLinks(engine: string, free: number): Promise<void> {
  const disk = mountExt4(160, 'extent,dir_index,^has_journal');
  const made = handSite();
  const cleanUp = (): void => {
    made.remove();
    disk.remove();
  };
  // Also when the campaign is interrupted.
  process.once('exit', cleanUp);
  try {
    const { store } = made;
    let first: string | undefined;
    for (let user = 0; user < USERS; user++) {
      const uid = `u${user}`;
      store.user(uid, { mailMessageStore: disk.directory });
      const folder = store.folder(disk.directory, uid, 'INBOX', `${INDEX(7, 3)}1 9 - 9 own\n2 9 S 9 shared\n`);
      putMail(folder, 'own', MAIL(uid));
      if (first === undefined) first = putMail(folder, 'shared', MAIL('shared'));
      else fs.linkSync(first, path.join(folder, 'shared'));
    }
    run('chown', '-R', `${ACCOUNT.user}:${ACCOUNT.group}`, disk.directory);
    store.finish();
    const source = first ?? '';
    const elsewhere = path.join(disk.directory, '.elsewhere');
    fs.mkdirSync(elsewhere);
    for (let i = USERS; i < MOST_LINKS - free; i++) fs.linkSync(source, path.join(elsewhere, String(i)));
    must(made.folders(), '-s');
    const two = [0, 1].map(() => ended(made.start('upgrade', '-m', '-t', '3', engine)));
    for (const status of await Promise.all(two)) {
      if (status !== 0) throw new Error(`upgrade -m ended with ${status}: ${made.log().slice(-1_500)}`);
    }
    const files = made.mailboxes().map(({ path: directory }) => path.join(directory ?? '', '00/2.msg'));
    if (files.length !== USERS) throw new Error(`${files.length} mailboxes`);
    const inodes = new Map<number, number>();
    for (const file of files) {
      if (fs.readFileSync(file, 'latin1') !== MAIL('shared')) throw new Error(`${file} has another content`);
      const { ino } = fs.statSync(file);
      inodes.set(ino, (inodes.get(ino) ?? 0) + 1);
    }
    const own = inodes.get(fs.statSync(source).ino) ?? 0;
    const expected = own === USERS ? 1 : own === 0 ? 1 : 2;
    if (inodes.size !== expected || own > free) {
      throw new Error(`${inodes.size} inodes hold the shared message, ${own} of ${free} free links were used`);
    }
    must(made.run('upgrade', '--verify'), '--verify');
    must(made.messages(engine, '-r'), '-m -r');
    // Links are free again: a second round over folders that come later uses them.
    const late = store.folder(disk.directory, 'u0', 'Late', `${INDEX(7, 2)}1 9 - 9 late\n`);
    fs.rmSync(path.join(elsewhere, String(MOST_LINKS - free - 1)));
    fs.linkSync(path.join(elsewhere, '100'), path.join(late, 'late'));
    run('chown', `${ACCOUNT.user}:${ACCOUNT.group}`, late, path.join(late, '.mailbox'));
    must(made.folders(), '-s again');
    must(made.messages(engine), '-m again');
    if (fs.readFileSync(path.join(made.mailbox('user/u0/Late').path ?? '', '00/1.msg'), 'latin1') !== MAIL('shared')) {
      throw new Error('the late folder has another content');
    }
  } finally {
    process.off('exit', cleanUp);
    cleanUp();
  }
}

function ended(child: ChildProcess): Promise<number | null> {
  child.stdout?.resume();
  child.stderr?.resume();
  return new Promise((resolve) => child.once('close', resolve));
}

function must(
  { status, stderr, stdout }: { status: number | null; stderr: string; stdout: string },
  what: string,
): void {
  if (status !== 0) throw new Error(`${what} ended with ${status}: ${stderr}${stdout.slice(0, 1_000)}`);
}
