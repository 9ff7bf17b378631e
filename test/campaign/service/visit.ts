/**
 * What services do between two runs, by the library's calls: a mailbox that waits is migrated as by its first access; in
 * nearly every published one a message is appended, flags are changed, one or two messages go. Whatever is done is
 * entered in the books, which say afterwards whether it can be seen.
 */
import { createHash } from 'node:crypto';
import { FLAG } from '../../../src/engine/types.js';
import { describeError } from '../../../src/errors.js';
import { changeMailbox, type MailboxChanges } from '../../../src/store/mailbox/change.js';
import type { MailStore } from '../../../src/store/mailbox/held.js';
import { migrateMailbox } from '../../../src/upgrade/onAccess.js';
import { openSession, type Session } from '../../../src/upgrade/session.js';
import type { Random } from '../../support/generate/random.js';
import type { Ground } from '../kill/ground.js';
import type { Ledger, Present } from './ledger.js';
import { observe } from './observe.js';
import type { Counts, Folder } from './truth.js';

/** Of the mailboxes that wait: those that a service opens. */
const ACCESSED = 0.15;
/** Of the published ones: those that are used; the rest is only looked at. */
const USED = 0.9;
/** Of the messages that go: those that failed once, or that came since the last visit, where there are any. */
const PREFERRED = 0.8;
/** Of the messages appended: those with so long a header that the journal is folded (store/mailbox/change.ts). */
const GIANT = 0.05;
const GIANT_BYTES = 1_100_000;

export interface Visited {
  readonly problems: string[];
  readonly used: number;
  readonly accessed: number;
  readonly expunged: number;
}

/** `repaired`: contents of messages that failed once. */
export async function visit(
  ground: Ground,
  folders: readonly Folder[],
  ledger: Ledger,
  repaired: ReadonlyMap<string, Counts>,
  random: Random,
): Promise<Visited> {
  const problems: string[] = [];
  const done = { used: 0, accessed: 0, expunged: 0 };
  const umask = process.umask(0o077);
  try {
    await asServer(ground, async (session) => {
      for (const { mailbox } of folders) {
        if (session.mailboxes.get(mailbox)?.state !== 'TRANSITION' || !random.chance(ACCESSED)) continue;
        done.accessed += 1;
        problems.push(...(await access(session, mailbox)));
      }
    });
    problems.push(...ledger.look(await observe(ground)));
    await asServer(ground, async (session) => {
      const store: MailStore = { mailboxes: session.mailboxes, owner: session.instance.owner };
      for (const folder of folders) {
        const { mailbox } = folder;
        if (session.mailboxes.get(mailbox)?.state !== 'NON-TRANSITION' || !random.chance(USED)) continue;
        done.used += 1;
        const failed = new Set(session.mapping.failures(folder.id).map(({ uid }) => uid));
        const hasFailed = ({ uid, sha256 }: Present): boolean =>
          failed.has(uid) || repaired.get(mailbox)?.has(sha256) === true;
        await changeMailbox(store, mailbox, (changes) => {
          ledger.opened(mailbox);
          const result = use(changes, mailbox, ledger, hasFailed, random);
          done.expunged += result.expunged;
          problems.push(...result.problems);
        });
      }
    });
    problems.push(...ledger.look(await observe(ground)));
  } catch (error) {
    problems.push(`a service cannot work: ${describeError(error)}`);
  } finally {
    process.umask(umask);
  }
  return { problems, ...done };
}

const isFresh = ({ fresh }: Present): boolean => fresh;

async function asServer(ground: Ground, act: (session: Session) => Promise<void>): Promise<void> {
  const session = await openSession({ instance: ground.instance }, 'service');
  try {
    await act(session);
  } finally {
    await session.close();
  }
}

/** Messages that fail are no hindrance. */
async function access(session: Session, mailbox: string): Promise<string[]> {
  const { halted, errors } = await migrateMailbox(session, mailbox, { acceptFailures: true });
  session.mailboxes.refresh();
  if (halted === null && session.mailboxes.get(mailbox)?.state === 'NON-TRANSITION') return [];
  const why = [halted, ...errors].map((error) => error?.message ?? '').join(' ');
  return [`${mailbox}: not migrated by a service that opened it: ${why}`];
}

function use(
  changes: MailboxChanges,
  mailbox: string,
  ledger: Ledger,
  hasFailed: (message: Present) => boolean,
  random: Random,
): { problems: string[]; expunged: number } {
  const problems: string[] = [];
  let expunged = 0;
  const append = (): void => {
    const giant = random.chance(GIANT) ? 'x'.repeat(GIANT_BYTES) : '';
    const content = `Subject: from a service ${giant}\r\n\r\n${mailbox} ${random.next()}\r\n`;
    const flags = random.int(0, 31);
    const uid = changes.append({ content: Buffer.from(content), flags, internalDate: 1_000_000_000 });
    const sha256 = createHash('sha256').update(content).digest('hex');
    problems.push(...ledger.appended(mailbox, uid, { sha256, flags, keywords: [] }));
  };
  const flag = (): void => {
    const messages = ledger.messagesOf(mailbox);
    if (messages.length === 0) return;
    const { uid } = random.pick(messages);
    const flags = random.int(0, 31) | FLAG.answered;
    const keywords = [`service${random.int(1, 9)}`];
    changes.setFlags(uid, flags, keywords);
    ledger.flagged(mailbox, uid, flags, keywords);
  };
  const expunge = (): void => {
    for (let times = random.int(1, 2); times > 0; times--) {
      const messages = ledger.messagesOf(mailbox);
      if (messages.length === 0) return;
      const preferred = random.chance(PREFERRED) ? [hasFailed, isFresh] : [];
      const choices = [...preferred.map((wanted) => messages.filter(wanted)), messages];
      const { uid } = random.pick(choices.find((choice) => choice.length > 0) ?? messages);
      changes.expunge(uid);
      ledger.expunged(mailbox, uid);
      expunged += 1;
    }
  };
  // In any order: an expunge of the last message before or after another one takes the next uid.
  const actions = [append, flag, expunge].map((act) => ({ act, order: random.next() }));
  for (const { act } of actions.sort((a, b) => a.order - b.order)) act();
  return { problems, expunged };
}
