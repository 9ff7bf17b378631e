/**
 * What a life is: steps on a store of its own, with real commands and short words for what happens to it, and what must
 * be true after each step.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type HandSite, handSite, messagesResult, putMail, type Result } from '../../e2e/hand-site.js';
import { ACCOUNT, INDEX } from '../../upgrade/small-store.js';

export type EngineOption = '--native' | '--no-native';

export interface Life {
  readonly name: string;
  /** Throws for the first thing that is wrong. */
  run(site: Site): Promise<void>;
}

/** A store by hand with short words for what happens to it. */
export interface Site {
  readonly made: HandSite;
  /** Directory of a 3.x folder of the default store path. */
  folder(uid: string, name: string): string;
  /** Makes a 3.x folder: `subject` or `uid subject flags`; the files belong to the server account. */
  fill(uid: string, name: string, ...subjects: string[]): string;
  /** A message that fails (a link), and its repair. */
  put(folder: string, subject: string): void;
  breakMail(folder: string, subject: string): void;
  repair(folder: string, subject: string): void;
  s(status: number, ...args: string[]): Result;
  m(status: number, ...args: string[]): Result;
  /** Every mailbox with the subjects of its messages, in the order of uids; `uid:subject` */
  expect(expected: Readonly<Record<string, readonly string[]>>): void;
  is(actual: unknown, expected: unknown, what: string): void;
}

/** Runs a life on a new store. */
export async function live(life: Life, engine: EngineOption, base?: string): Promise<void> {
  const made = handSite(base);
  // Also when the campaign is interrupted.
  process.once('exit', made.remove);
  try {
    await life.run(siteOf(made, engine));
  } finally {
    process.off('exit', made.remove);
    made.remove();
  }
}

function siteOf(made: HandSite, engine: EngineOption): Site {
  const { store } = made;
  const own = (file: string): void => {
    if (process.getuid?.() === 0) fs.lchownSync(file, ACCOUNT.uid, ACCOUNT.gid);
  };
  const is: Site['is'] = (actual, expected, what) => {
    const [found, wanted] = [JSON.stringify(actual), JSON.stringify(expected)];
    if (found !== wanted) throw new Error(`${what}: found ${found}, expected ${wanted}`);
  };
  const folder = (uid: string, name: string): string => path.join(store.mailbox, uid, name);
  const checked = (result: Result, status: number, what: string): Result => {
    if (result.status === status) return result;
    throw new Error(`${what} ended with ${result.status}, not ${status}: ${result.stderr}${result.stdout}`);
  };
  return {
    made,
    folder,
    fill(uid, name, ...subjects) {
      const lines = subjects.map((subject, i) => `${i + 1} ${1_000 + i} - 9 ${subject}\n`).join('');
      const directory = store.folder(store.mailbox, uid, name, `${INDEX(50, subjects.length + 1)}${lines}`);
      for (const subject of subjects) own(putMail(directory, subject));
      for (let at = directory; at !== store.mailbox; at = path.dirname(at)) own(at);
      own(path.join(directory, '.mailbox'));
      return directory;
    },
    breakMail(directory, subject) {
      fs.rmSync(path.join(directory, subject), { force: true });
      fs.symlinkSync('/etc/passwd', path.join(directory, subject));
      own(path.join(directory, subject));
    },
    put: (directory, subject) => own(putMail(directory, subject)),
    repair(directory, subject) {
      fs.unlinkSync(path.join(directory, subject));
      own(putMail(directory, subject));
    },
    s: (status, ...args) => checked(made.folders(...args), status, `-s ${args.join(' ')}`),
    m: (status, ...args) => checked(made.messages(engine, ...args), status, `-m ${args.join(' ')}`),
    expect(expected) {
      const found: Record<string, string[]> = {};
      for (const { name } of made.mailboxes()) found[name] = [];
      for (const { mailbox, uid, envelope } of made.dump() as unknown as {
        mailbox: string;
        uid: number;
        envelope: string[];
      }[]) {
        found[mailbox]?.push(`${uid}:${envelope[1]}`);
      }
      is(found, Object.fromEntries(Object.entries(expected).sort(([a], [b]) => (a < b ? -1 : 1))), 'mailboxes');
    },
    is,
  };
}

/** Codes of the errors that `-m` reported. */
export const codes = (result: Result): string[] => messagesResult(result).errors.map(({ code }) => code);
/** The same of `-s`, or of its warnings. */
export const folderCodes = (result: Result, kind: 'errors' | 'warnings'): string[] =>
  (JSON.parse(result.stdout) as Record<typeof kind, { code: string }[]>)[kind].map(({ code }) => code);
