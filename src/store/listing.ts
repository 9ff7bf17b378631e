/** The mailboxes of a store as `mboxutil -l` shows them (commands.md). */
import { mailboxPathComponents } from './names.js';
import type { AclEntry, FolderState, MailboxDatabase, MailboxRecord } from './types.js';

/** One mailbox; the fields are part of the `--json` promise. */
export interface MailboxListing {
  readonly name: string;
  /** 3.x folder path, null for a mailbox made in 4.x. */
  readonly legacyName: string | null;
  readonly partition: string;
  /** Absolute path of the mailbox directory, which exists once the mailbox is NON-TRANSITION; null: unknown partition. */
  readonly path: string | null;
  readonly state: FolderState;
  /** 0 in TRANSITION: nothing is in 4.x yet. */
  readonly messages: number;
  readonly bytes: number;
  readonly uidvalidity: number;
  readonly uidnext: number;
  readonly acl: readonly AclEntry[];
  /** The owner is subscribed to it. */
  readonly subscribed: boolean;
}

/**
 * All mailboxes that match `pattern`, in the order of their names. `partitionPath` tells where a partition is
 * configured to lie; a mailbox that has a root already lies there instead.
 */
export function* listMailboxes(
  database: MailboxDatabase,
  partitionPath: (partition: string) => string | undefined,
  pattern = '*',
): Generator<MailboxListing & { readonly record: MailboxRecord }> {
  const matches = mailboxPattern(pattern);
  let owner: string | undefined;
  let subscriptions: ReadonlySet<string> = new Set();
  for (const record of database.list(/^[^*%]*/.exec(pattern)![0])) {
    if (!matches(record.name)) continue;
    if (record.owner !== owner) {
      owner = record.owner;
      subscriptions = new Set(database.subscriptions(owner));
    }
    const root = record.root ?? partitionPath(record.partition);
    yield {
      name: record.name,
      legacyName: record.legacyName,
      partition: record.partition,
      path: root === undefined ? null : [root, ...mailboxPathComponents(record.owner, record.name)].join('/'),
      state: record.state,
      messages: record.summary?.messages ?? 0,
      bytes: record.summary?.bytes ?? 0,
      uidvalidity: record.uidvalidity,
      uidnext: record.uidnext,
      acl: record.acl,
      subscribed: subscriptions.has(record.name),
      record,
    };
  }
}

/**
 * The pattern of `mboxutil -p`, as IMAP's LIST has it: `*` stands for anything, `%` for anything but `/`
 * (RFC 3501 6.3.8). Takes time linear in name times pattern.
 */
export function mailboxPattern(pattern: string): (name: string) => boolean {
  return (name) => {
    // States: positions of the pattern that the name read so far can have led to.
    let states = closure(pattern, new Set([0]));
    for (const char of name) {
      const next = new Set<number>();
      for (const state of states) {
        const expected = pattern[state];
        if (expected === '*' || (expected === '%' && char !== '/')) next.add(state);
        else if (expected === char) next.add(state + 1);
      }
      states = closure(pattern, next);
      if (states.size === 0) return false;
    }
    return states.has(pattern.length);
  };
}

/** A wildcard may stand for nothing. */
function closure(pattern: string, states: Set<number>): Set<number> {
  for (const state of states) {
    if (pattern[state] === '*' || pattern[state] === '%') states.add(state + 1);
  }
  return states;
}
