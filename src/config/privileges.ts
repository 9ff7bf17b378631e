/**
 * From root to the server account (4x-store.md, promise 6: "Started as root, it makes directories and sets
 * owners, then becomes the server account"). Works for all threads of the process: glibc hands the change to
 * each of them.
 */
import { MailhaulError } from '../errors.js';

/** What is needed of the server account. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
  readonly groups?: readonly number[];
}

function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/** The server account with its names. */
export interface NamedIdentity extends Identity {
  readonly user: string;
  readonly group: string;
}

/**
 * Refuses an account that this process can neither be nor become. Only root gives files away: what another process makes
 * has the group that the process has, so it must run with the account's.
 *
 * @throws MailhaulError CONF_ACCOUNT_OTHER, CONF_ACCOUNT_GROUP (exit 3)
 */
export function checkIdentity({ uid, gid, user, group }: NamedIdentity): void {
  const self = process.geteuid?.();
  if (self === undefined || self === 0) return;
  if (self !== uid) {
    throw new MailhaulError('CONF_ACCOUNT_OTHER', `This process runs as uid ${self}, not as the server account.`, {
      where: user,
      hint: `Run the command as root or as ${user}.`,
    });
  }
  const own = process.getegid?.();
  if (own === gid) return;
  throw new MailhaulError('CONF_ACCOUNT_GROUP', `This process runs with group ${own}, not with the server account's.`, {
    where: group,
    hint: `Run the command as root, or with that group: \`sg ${group} -c '<command>'\`, or \`newgrp ${group}\` before it.`,
  });
}

/** Whether `becomeAccount` makes this process another account. */
export function becomesOther(account: Identity): boolean {
  return isRoot() && account.uid !== 0;
}

/** Becomes the server account for good. Does nothing when the process is not root or the account is root. */
export function becomeAccount(account: Identity): void {
  if (!becomesOther(account)) return;
  process.setgroups?.([...(account.groups ?? [account.gid])]);
  process.setgid?.(account.gid);
  process.setuid?.(account.uid);
}

/** Runs `action` with the rights of the server account, then is root again. */
export function asAccount<T>(account: Identity, action: () => T): T {
  const leave = enterAccount(account);
  try {
    return action();
  } finally {
    leave();
  }
}

/**
 * Takes the rights of the server account until the function that it returns is called. For a time in which
 * hostile names are read, when root is needed once more afterwards.
 */
export function enterAccount(account: Identity): () => void {
  if (!becomesOther(account)) return () => {};
  const groups = process.getgroups?.() ?? [];
  const gid = process.getegid?.() ?? 0;
  process.setgroups?.([...(account.groups ?? [account.gid])]);
  process.setegid?.(account.gid);
  process.seteuid?.(account.uid);
  let entered = true;
  return () => {
    if (!entered) return;
    entered = false;
    process.seteuid?.(0);
    process.setegid?.(gid);
    process.setgroups?.(groups);
  };
}
