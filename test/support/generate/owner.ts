/** The account that owns the mail files. */
import { execFileSync } from 'node:child_process';
import type { Owner } from './options.js';
import { currentUser } from './options.js';

/** `name`, or `mail` for root, or the current user. */
export function accountOf(name: string | null): Owner {
  const root = process.geteuid?.() === 0;
  const user = name ?? (root ? 'mail' : currentUser());
  const uid = Number(id('-u', user));
  const gid = Number(id('-g', user));
  if (!root && uid !== process.geteuid?.()) throw new Error(`only root can give files to ${user}`);
  return { user, group: id('-gn', user), uid, gid, chown: root };
}

function id(option: string, user: string): string {
  return execFileSync('id', [option, user], { encoding: 'utf8' }).trim();
}
