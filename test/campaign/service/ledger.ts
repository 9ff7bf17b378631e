/**
 * The books of one case: what every mailbox was seen to hold, what services did to it, and hence what it must hold. A
 * uid that was seen once names the same content with the same flags for ever, or nothing once it was expunged; in a
 * mailbox that a service has used, what comes later has a uid from the uidnext that was seen (4x-store.md, promises
 * 2, 4 and 5).
 */
import { type Message, namesOf, type Observed } from './observe.js';
import { addTo, type Counts, type Folder } from './truth.js';

interface Known extends Message {
  readonly expunged: boolean;
  /** Number of the look that found it first. */
  readonly since: number;
}

interface Account {
  readonly folder: Folder;
  readonly known: Map<number, Known>;
  /** What it must hold in the end: the manifest's, without what was expunged, with what was appended. */
  readonly due: Counts;
  /** Contents of expunged messages: their 3.x files may be there or not. */
  readonly expunged: Set<string>;
  uidvalidity: number;
  uidnext: number;
  published: boolean;
  /** A service has opened it for writing. */
  used: boolean;
}

export interface Present {
  readonly uid: number;
  readonly sha256: string;
  /** The last look found it first. */
  readonly fresh: boolean;
}

export class Ledger {
  private readonly accounts = new Map<string, Account>();
  private looks = 0;

  constructor(folders: readonly Folder[]) {
    for (const folder of folders) {
      const due: Counts = new Map();
      for (const { sha256 } of folder.messages) addTo(due, sha256);
      const nothing = { uidvalidity: 0, uidnext: 0, published: false, used: false };
      this.accounts.set(folder.mailbox, { folder, known: new Map(), due, expunged: new Set(), ...nothing });
    }
  }

  /** Messages that are there. */
  messagesOf(mailbox: string): Present[] {
    return [...this.account(mailbox).known]
      .filter(([, { expunged }]) => !expunged)
      .map(([uid, { sha256, since }]) => ({ uid, sha256, fresh: since === this.looks }));
  }

  expungedIn = (mailbox: string): ReadonlySet<string> => this.account(mailbox).expunged;

  /** A service has the mailbox open for writing. */
  opened(mailbox: string): void {
    this.account(mailbox).used = true;
  }

  appended(mailbox: string, uid: number, message: Message): string[] {
    const { known, due, uidnext } = this.account(mailbox);
    addTo(due, message.sha256);
    const wrong = known.has(uid) || uid < uidnext;
    known.set(uid, { ...message, expunged: false, since: this.looks });
    return wrong ? [`${mailbox}: uid ${uid} was given to a service, uidnext was ${uidnext}`] : [];
  }

  flagged(mailbox: string, uid: number, flags: number, keywords: readonly string[]): void {
    const { known } = this.account(mailbox);
    const before = known.get(uid);
    if (before !== undefined) known.set(uid, { ...before, flags, keywords });
  }

  expunged(mailbox: string, uid: number): void {
    const { known, due, expunged } = this.account(mailbox);
    const before = known.get(uid);
    if (before === undefined) return;
    known.set(uid, { ...before, expunged: true });
    addTo(due, before.sha256, -1);
    expunged.add(before.sha256);
  }

  /** Compares with what was seen before, and remembers. */
  look(now: ReadonlyMap<string, Observed>): string[] {
    this.looks += 1;
    return [...this.accounts.values()].flatMap((account) => {
      const { mailbox, directory } = account.folder;
      const observed = now.get(mailbox);
      if (observed === undefined) return [`${mailbox} is gone`];
      const problems = [...observed.problems, ...lost(account, observed)];
      if (observed.published) problems.push(...differences(account, observed), ...this.remember(account, observed));
      else if (account.published) problems.push('is in TRANSITION again');
      return problems.map((problem) => `${mailbox} (${Buffer.from(directory, 'latin1')}): ${problem}`);
    });
  }

  /** What is missing when all is done. */
  missing(now: ReadonlyMap<string, Observed>): string[] {
    return [...this.accounts.values()].flatMap(({ folder: { mailbox }, due }) => {
      const observed = now.get(mailbox);
      if (observed?.published !== true) return [`${mailbox} is not published`];
      const found = countsOf(observed);
      return [...due]
        .filter(([content, times]) => (found.get(content) ?? 0) < times)
        .map(([content, times]) => `${mailbox}: ${content} is there ${found.get(content) ?? 0} times, not ${times}`);
    });
  }

  private remember(account: Account, observed: Observed): string[] {
    const { known, folder, due, used, uidnext } = account;
    const problems: string[] = [];
    for (const [uid, message] of observed.messages) {
      if (known.has(uid)) continue;
      if (used && uid < uidnext) problems.push(`uid ${uid} is new, below the uidnext that was seen, ${uidnext}`);
      if (uid >= observed.uidnext) problems.push(`uid ${uid} is not below uidnext, ${observed.uidnext}`);
      const recorded = used ? undefined : folder.messages.find((of3x) => of3x.uid === uid);
      if (recorded !== undefined && recorded.sha256 !== message.sha256) problems.push(`uid ${uid} is another message`);
      known.set(uid, { ...message, expunged: false, since: this.looks });
    }
    for (const [content, times] of countsOf(observed)) {
      const most = due.get(content) ?? 0;
      if (times > most) problems.push(`${content} is there ${times} times, not ${most}: ${uidsOf(account, content)}`);
    }
    account.published = true;
    account.uidvalidity = observed.uidvalidity;
    account.uidnext = Math.max(uidnext, observed.uidnext);
    return problems;
  }

  private account(mailbox: string): Account {
    const account = this.accounts.get(mailbox);
    if (account === undefined) throw new Error(`no mailbox ${mailbox}`);
    return account;
  }
}

/** Messages without a name in either store; of those expunged nothing is asked. */
function lost({ folder, due }: Account, { directory }: Observed): string[] {
  const names = namesOf(folder, directory);
  return [...due]
    .filter(([content, times]) => (names.get(content) ?? 0) < times)
    .map(([content, times]) => `${content} has ${names.get(content) ?? 0} names, ${times} were wanted`);
}

/** What was seen before and is not so any more. */
function differences(account: Account, { messages, uidvalidity, uidnext }: Observed): string[] {
  const problems: string[] = [];
  if (account.published && uidvalidity !== account.uidvalidity) problems.push(`uidvalidity is ${uidvalidity}`);
  if (uidnext < account.uidnext) problems.push(`uidnext fell from ${account.uidnext} to ${uidnext}`);
  for (const [uid, known] of account.known) {
    const message = messages.get(uid);
    if (known.expunged) {
      if (message !== undefined) problems.push(`uid ${uid} is there again, which was expunged`);
    } else if (message === undefined) problems.push(`uid ${uid} is gone`);
    else if (message.sha256 !== known.sha256) problems.push(`uid ${uid} names another content`);
    else if (flagsOf(message) !== flagsOf(known)) {
      problems.push(`uid ${uid} has flags ${flagsOf(message)}, not ${flagsOf(known)}`);
    }
  }
  return problems;
}

const flagsOf = ({ flags, keywords }: Message): string => [flags, ...keywords].join(' ');

function countsOf({ messages }: Observed): Counts {
  const counts: Counts = new Map();
  for (const { sha256 } of messages.values()) addTo(counts, sha256);
  return counts;
}

function uidsOf({ known }: Account, content: string): string {
  const uids = [...known].filter(([, { sha256 }]) => sha256 === content);
  return uids.map(([uid, { expunged }]) => `uid ${uid}${expunged ? ', expunged' : ''}`).join('; ');
}
