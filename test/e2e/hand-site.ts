/**
 * A 3.x installation made by hand and the built commands run on it as real processes: what somebody sees who knows
 * the specification and not the code. Runs the commands in dist/ (`npm test` builds them).
 */
import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Look, mboxutil } from '../support/kept-mboxutil.js';
import { commandFile } from '../support/process.js';
import { HOST, type SmallStore, smallStore } from '../upgrade/small-store.js';

export type Result = SpawnSyncReturns<string>;

/** One line of `mboxutil -l --json`. */
export interface Mailbox {
  readonly name: string;
  readonly legacyName: string;
  readonly partition: string;
  readonly path: string | null;
  readonly state: 'TRANSITION' | 'NON-TRANSITION';
  readonly messages: number;
  readonly bytes: number;
  readonly uidvalidity: number;
  readonly uidnext: number;
}

/** One line of `mboxutil --dump --json`. */
export interface Message {
  readonly mailbox: string;
  readonly uid: number;
  readonly internaldate: number;
  readonly size: number;
  readonly flags: readonly string[];
  readonly sha256: string;
}

type Methods = Readonly<Record<'rename' | 'link' | 'reflink' | 'copy' | 'rewrite', number>>;

export interface MessagesResult {
  readonly folders: { readonly done: number; readonly skipped: number; readonly failed: number };
  readonly messages: { readonly done: number; readonly failed: number };
  readonly methods: Methods;
  readonly routes: readonly { readonly source: string; readonly target: string; readonly methods: Methods }[];
  readonly errors: readonly Problem[];
}

export interface FoldersResult {
  readonly exitCode: number;
  readonly users: { readonly found: number; readonly skipped: number; readonly withoutMailbox: number };
  readonly errors: readonly Omit<Problem, 'file'>[];
  readonly warnings: readonly Omit<Problem, 'file'>[];
}

interface Problem {
  readonly user: string;
  readonly folder: string;
  readonly file: string;
  readonly code: string;
  readonly message: string;
}

export interface HandSite {
  readonly store: SmallStore;
  /** Runs a command with `--instance` to its end. */
  run(name: string, ...args: string[]): Result;
  /** The same with more environment variables. */
  runWith(environment: Readonly<Record<string, string>>, name: string, ...args: string[]): Result;
  start(name: string, ...args: string[]): ChildProcess;
  /** `upgrade -s --json` with the 3.x instance and the LDIF file. */
  folders(...args: string[]): Result;
  /** `upgrade -m --json` on two threads. */
  messages(...args: string[]): Result;
  /** These three look at the store with kept-mboxutil.ts. */
  mailboxes(): Mailbox[];
  mailbox(name: string): Mailbox;
  /** Messages of one mailbox, or of all. */
  dump(name?: string): Message[];
  /** The log of the 4.x instance; '' when there is none. */
  log(): string;
  remove(): void;
}

export function handSite(base?: string): HandSite {
  const store = smallStore(base);
  const argv = (name: string, args: readonly string[]) => [commandFile(name), '--instance', store.instance, ...args];
  const runWith: HandSite['runWith'] = (environment, name, ...args) =>
    spawnSync(process.execPath, argv(name, args), {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      env: { ...process.env, ...environment },
    });
  const run: HandSite['run'] = (name, ...args) => runWith({}, name, ...args);
  const lines = <T>(result: Look): T[] => {
    if (result.status !== 0) throw new Error(`mboxutil ended with ${result.status}: ${result.stderr}`);
    return result.stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as T);
  };
  const look = (...args: string[]): Look => mboxutil(['--instance', store.instance, ...args]);
  const mailboxes = () => lines<Mailbox>(look('-l', '--json'));
  return {
    store,
    run,
    runWith,
    start: (name, ...args) => spawn(process.execPath, argv(name, args), { stdio: ['ignore', 'pipe', 'pipe'] }),
    folders: (...args) => run('upgrade', '-s', '--json', '--from', store.from, '--directory', store.ldif, ...args),
    messages: (...args) => run('upgrade', '-m', '-t', '2', '--json', ...args),
    mailboxes,
    mailbox(name) {
      const found = mailboxes().find((mailbox) => mailbox.name === name);
      if (found === undefined) throw new Error(`no mailbox ${name}`);
      return found;
    },
    dump: (name) => lines<Message>(look('--dump', ...(name === undefined ? [] : [name]), '--json')),
    log() {
      const file = path.join(store.instance, 'log/default/default');
      return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
    },
    remove: () => store.remove(),
  };
}

export const messagesResult = (result: Result): MessagesResult => json<MessagesResult>(result);
export const foldersResult = (result: Result): FoldersResult => json<FoldersResult>(result);

function json<T>(result: Result): T {
  try {
    return JSON.parse(result.stdout) as T;
  } catch {
    throw new Error(`ended with ${result.status}, no JSON: ${result.stdout}${result.stderr}`);
  }
}

/** The uids of all mailboxes. */
export const usersOf = (site: HandSite): string[] => site.mailboxes().map(({ name }) => name.split('/')[1] ?? '');

/** A short message with CRLF line ends, the same for the same subject. */
export const MAIL = (subject: string): string =>
  `From: Fred <fred@${HOST}>\r\nTo: anna@${HOST}\r\nSubject: ${subject}\r\n\r\nText of ${subject}.\r\n`;

/**
 * Writes a message file.
 *
 * @param time modification time in seconds
 */
export function putMail(folder: string, name: string, content: string = MAIL(name), time = 900_000_000): string {
  const file = path.join(folder, name);
  fs.writeFileSync(file, content, { mode: 0o600 });
  fs.utimesSync(file, time, time);
  return file;
}
