/**
 * What must be there by the diaries of all workers, and what may: a step of which the diary has both lines has happened;
 * one of which it has the first has happened or not. Nothing else is asked but the time at which it was written.
 */
import type { Line } from './diary.js';
import type { Found, Observed } from './observe.js';

interface Event<T> {
  readonly t: number;
  readonly certain: boolean;
  readonly value: T;
}

interface Account {
  /** Its names; null: it is not there. The first is that before all events. */
  readonly first: string | null;
  readonly names: Event<string | null>[];
}

/** One message that somebody appended, or that was in 3.x; of a uid there may be several that nobody acknowledged. */
interface Message {
  readonly sha256: string;
  readonly certain: boolean;
  readonly flags: Event<number>[];
  expunged: 'no' | 'maybe' | 'certain';
}

/** Values that are possible after all events. */
function possible<T>(first: readonly T[], events: readonly Event<T>[]): ReadonlySet<T> {
  let values = new Set(first);
  for (const { certain, value } of [...events].sort((a, b) => a.t - b.t)) {
    if (certain) values = new Set([value]);
    else values.add(value);
  }
  return values;
}

const certainly = <T>(t: number, value: T): Event<T> => ({ t, certain: true, value });

const SECOND: Readonly<Partial<Record<Line['k'], Line['k']>>> = {
  append: 'appended',
  flag: 'flagged',
  expunge: 'expunged',
};

export class Ledger {
  private readonly accounts = new Map<number, Account>();
  private readonly mail = new Map<number, Map<number, Message[]>>();
  /** Appends that nobody acknowledged, by mailbox: each may have left a file, and its uid is given to nobody then. */
  private readonly unacknowledged = new Map<number, number>();

  /**
   * @param found what is there after a migration that nobody disturbed
   * @param late uidvalidity of the folder that `-s` may not have seen yet
   */
  constructor(
    found: readonly Found[],
    private readonly late: number,
  ) {
    for (const { name, v, messages } of found) {
      this.accounts.set(v, { first: name, names: [] });
      for (const [uid, { sha256, flags }] of messages) this.enter(v, uid, sha256, [certainly(0, flags)], true);
    }
  }

  /** Enters the diaries of workers that have ended, all of one life. */
  read(diaries: readonly (readonly Line[])[]): string[] {
    const steps = diaries.flatMap((lines) => {
      const committed = new Set(lines.flatMap((line) => (line.k === 'named' ? [line.n] : [])));
      return lines.map((line, i) => {
        // The line after the first of a pair is the second, or nothing came of it.
        const second = lines[i + 1];
        const certain = line.k === 'names' ? committed.has(line.n) : second?.k === SECOND[line.k];
        // Of an append the first says the lowest uid that it may get, the second the one that it got.
        return { line: line.k === 'append' && second?.k === 'appended' ? { ...line, uid: second.uid } : line, certain };
      });
    });
    return steps.sort((a, b) => a.line.t - b.line.t).flatMap(({ line, certain }) => this.enterStep(line, certain));
  }

  private enterStep(line: Line, certain: boolean): string[] {
    if (line.k === 'names') {
      for (const { v, name } of line.names) {
        const account = this.accounts.get(v) ?? { first: null, names: [] };
        this.accounts.set(v, account);
        account.names.push({ t: line.t, certain, value: name });
      }
    } else if (line.k === 'append') {
      const { v, uid, sha256, flags, t } = line;
      const twice = certain && this.candidates(v, uid).some((message) => message.certain);
      const before = this.unacknowledged.get(v) ?? 0;
      const most = certain ? uid : uid + before;
      for (let may = uid; may <= most; may++) this.enter(v, may, sha256, [certainly(t, flags)], certain);
      if (!certain) this.unacknowledged.set(v, before + 1);
      if (twice) return [`uid ${uid} of mailbox ${v} was given twice`];
    } else if (line.k === 'flag') {
      const event = { t: line.t, certain, value: line.flags };
      for (const message of this.candidates(line.v, line.uid)) message.flags.push(event);
    } else if (line.k === 'expunge') {
      for (const message of this.candidates(line.v, line.uid)) message.expunged = certain ? 'certain' : 'maybe';
    }
    return [];
  }

  /** `ended`: nothing waits for its migration any more. */
  judge({ mailboxes, stale }: Observed, ended: boolean): string[] {
    const problems: string[] = [];
    const byV = new Map<number, Found[]>();
    for (const found of mailboxes) byV.set(found.v, [...(byV.get(found.v) ?? []), found]);
    for (const [v, { first, names }] of this.accounts) {
      const here = byV.get(v) ?? [];
      // Its name may be another mailbox's by the time at which `-s` sees it: then it gets one of its own.
      const begins = v !== this.late ? [first] : [here[0]?.name ?? first, ...(ended ? [] : [null])];
      const may = possible(begins, names);
      if (here.length > 1) problems.push(`mailbox ${v} is there as ${here.map(({ name }) => name).join(' and ')}`);
      const [found] = here;
      if (found === undefined) {
        if (!may.has(null))
          problems.push(`mailbox ${v} is gone, which is ${[...may].join(' or ')}, with ${this.mustHave(v)} messages`);
        continue;
      }
      if (!may.has(found.name)) problems.push(`mailbox ${v} is ${found.name}, not ${[...may].join(' or ')}`);
      if (!found.waits) problems.push(...this.judgeMail(found));
      else if (ended) problems.push(`mailbox ${v}, ${found.name}, waits for its migration`);
    }
    for (const { v, name } of mailboxes) if (!this.accounts.has(v)) problems.push(`nobody made ${name}, ${v}`);
    return [...problems, ...doubled(mailboxes), ...this.judgeStale(stale)];
  }

  private judgeMail({ name, v, messages }: Found): string[] {
    const problems: string[] = [];
    const where = `${name} (${v})`;
    for (const [uid, candidates] of this.mail.get(v) ?? []) {
      const found = messages.get(uid);
      const due = candidates.find(({ certain, expunged }) => certain && expunged === 'no');
      if (found === undefined) {
        if (due !== undefined) problems.push(`${where}: uid ${uid} is lost`);
        continue;
      }
      const message = candidates.find(({ sha256 }) => sha256 === found.sha256);
      if (message === undefined || (due !== undefined && message !== due)) {
        problems.push(`${where}: uid ${uid} has another content`);
        continue;
      }
      if (message.expunged === 'certain') problems.push(`${where}: uid ${uid} is there, which was expunged`);
      const flags = possible<number>([], message.flags);
      if (!flags.has(found.flags)) problems.push(`${where}: uid ${uid} has flags ${found.flags}, not ${[...flags]}`);
    }
    const known = this.mail.get(v);
    for (const uid of messages.keys()) if (known?.has(uid) !== true) problems.push(`${where}: nobody wrote uid ${uid}`);
    return problems;
  }

  /** A kill leaves the file of a message that it did not let be acknowledged, or of one on its way out. */
  private judgeStale(stale: Observed['stale']): string[] {
    const may = new Set<string>();
    for (const candidates of this.mail.values())
      for (const message of [...candidates.values()].flat())
        if (!message.certain || message.expunged === 'maybe') may.add(message.sha256);
    return stale
      .filter(({ sha256, owned }) => !owned || !may.has(sha256))
      .map(({ file, owned }) => `${file} is in no index${owned ? '' : ', and its directory is no mailbox'}`);
  }

  private mustHave(v: number): number {
    const messages = [...(this.mail.get(v)?.values() ?? [])].flat();
    return messages.filter(({ certain, expunged }) => certain && expunged === 'no').length;
  }

  private enter(v: number, uid: number, sha256: string, flags: Event<number>[], certain: boolean): void {
    this.candidates(v, uid).push({ sha256, certain, flags, expunged: 'no' });
  }

  private candidates(v: number, uid: number): Message[] {
    const mail = this.mail.get(v) ?? new Map<number, Message[]>();
    this.mail.set(v, mail);
    const messages = mail.get(uid) ?? [];
    mail.set(uid, messages);
    return messages;
  }
}

/** No content is written twice. */
function doubled(mailboxes: readonly Found[]): string[] {
  const seen = new Map<string, string>();
  const problems: string[] = [];
  for (const { name, messages } of mailboxes) {
    for (const [uid, { sha256 }] of messages) {
      const before = seen.get(sha256);
      if (before !== undefined) problems.push(`${name}, uid ${uid}, is also ${before}`);
      seen.set(sha256, `${name}, uid ${uid}`);
    }
  }
  return problems;
}
