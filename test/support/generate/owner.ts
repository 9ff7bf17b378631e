/** The account that owns the mail files. */
import { execFileSync } from 'node:child_process';
import type { Owner } from './options.js';
import { currentUser } from './options.js';

/** `name`, or `mail` for root, or the current user. */
export function accountOf(name: string | null): Owner {
  const root = process.geteuid?.() === 0;
  const user = name ?? (root ? 'mail' : currentUser());
  const uid = Number(id('-u', user));
  if (!root && uid !== process.geteuid?.()) throw new Error(`only root can give files to ${user}`);
  // What another process makes has its own group, which `newgrp` may have changed.
  const whose = root ? [user] : [];
  return { user, group: id('-gn', ...whose), uid, gid: Number(id('-g', ...whose)), chown: root };
}

function id(...args: string[]): string {
  return execFileSync('id', args, { encoding: 'utf8' }).trim();
}
