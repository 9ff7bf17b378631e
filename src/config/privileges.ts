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

/**
 * Refuses an account that this process can neither be nor become.
 *
 * @throws MailhaulError CONF_ACCOUNT_OTHER (exit 3)
 */
export function checkIdentity(account: Identity, name: string): void {
  const self = process.geteuid?.();
  if (self === undefined || self === 0 || self === account.uid) return;
  throw new MailhaulError('CONF_ACCOUNT_OTHER', `This process runs as uid ${self}, not as the server account.`, {
    where: name,
    hint: `Run the command as root or as ${name}.`,
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
