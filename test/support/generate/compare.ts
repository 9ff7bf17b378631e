/**
 * Compares a 4.x store with the manifest of the installation that it was migrated from: independent of the
 * migrator's own `--verify`, because the manifest was written before any of its code ran.
 */
import * as fs from 'node:fs';
import * as readline from 'node:readline';

interface ExpectedMessage {
  readonly uid: number | null;
  readonly flags: string;
  readonly keywords: readonly string[];
  readonly date: number;
  readonly size: number;
  readonly sha256: string;
  readonly outcome: 'migrated' | 'error' | 'either' | 'nothing';
}

interface ExpectedFolder {
  readonly user: string;
  readonly folder: string;
  readonly legacyName: string;
  readonly uidvalidity: number | null;
  readonly uidnext: number | null;
  /** `no`: a message of it fails; `either`: it depends on who reads. */
  readonly complete: 'yes' | 'no' | 'either';
  readonly messages: ExpectedMessage[];
}

/** A line of `mboxutil -l --json`, the fields used here. */
interface ListedMailbox {
  readonly name: string;
  readonly legacyName: string | null;
  readonly state: string;
  readonly uidvalidity: number;
  readonly uidnext: number;
}

/** A line of `mboxutil --dump --json`, the fields used here. */
interface DumpedMessage {
  readonly mailbox: string;
  readonly uid: number;
  readonly internaldate: number | string;
  readonly size: number;
  readonly flags: readonly string[];
  readonly sha256: string;
}

export interface Comparison {
  readonly folders: number;
  /** Folders in TRANSITION, as expected. */
  readonly waiting: number;
  readonly messages: number;
  /** One sentence each; empty when source and result are equal. */
  readonly problems: readonly string[];
}

const LETTERS: Readonly<Record<string, string>> = {
  S: '\\seen',
  A: '\\answered',
  F: '\\flagged',
  D: '\\deleted',
  T: '\\draft',
};

/**
 * @param failures what was done with folders in which a message fails: they wait in TRANSITION, or were published
 *   without it, or all was repaired
 * @param listing output of `mboxutil -l --json`
 * @param dump output of `mboxutil --dump --json`, a line at a time
 */
export async function compareWithManifest(
  manifest: string,
  listing: AsyncIterable<string> | Iterable<string>,
  dump: AsyncIterable<string> | Iterable<string>,
  failures: 'wait' | 'published' | 'repaired' = 'repaired',
): Promise<Comparison> {
  const expected = await readManifest(manifest);
  const mailboxes = new Map<string, ListedMailbox[]>();
  for await (const line of listing) {
    if (line === '') continue;
    const mailbox = JSON.parse(line) as ListedMailbox;
    add(mailboxes, `${mailbox.name.split('/')[1]}\0${mailbox.legacyName}`, mailbox);
  }
  const messages = new Map<string, DumpedMessage[]>();
  for await (const line of dump) {
    if (line === '') continue;
    const { mailbox, uid, internaldate, size, flags, sha256 } = JSON.parse(line) as DumpedMessage;
    add(messages, mailbox, { mailbox, uid, internaldate, size, flags, sha256 });
  }
  const problems: string[] = [];
  let compared = 0;
  let waiting = 0;
  for (const [key, folders] of expected) {
    const candidates = mailboxes.get(key) ?? [];
    // Those of known uidvalidity first: the others take what is left.
    for (const folder of folders.sort((a, b) => (b.uidvalidity ?? 0) - (a.uidvalidity ?? 0))) {
      const mailbox = take(candidates, folder);
      if (mailbox === undefined && folder.complete === 'either') {
        // `upgrade -s` could not read the directory.
        waiting++;
        continue;
      }
      if (mailbox === undefined) {
        problems.push(`${folder.user} ${folder.legacyName}: there is no such mailbox in 4.x`);
        continue;
      }
      const mayWait = folder.complete === 'either' || (folder.complete === 'no' && failures === 'wait');
      if (mayWait && mailbox.state === 'TRANSITION') {
        waiting++;
        continue;
      }
      if (folder.complete === 'no' && failures === 'wait') problems.push(`${mailbox.name}: published with failures`);
      compared += compareFolder(folder, mailbox, messages.get(mailbox.name) ?? [], failures, problems);
    }
  }
  return { folders: [...expected.values()].flat().length, waiting, messages: compared, problems };
}

/** Lines of a stream. Lazy: readline loses what arrives between its creation and the first iteration. */
export async function* linesOf(input: NodeJS.ReadableStream): AsyncGenerator<string> {
  yield* readline.createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
}

/** Two 3.x names may give one legacyName (the same text in two charsets): uidvalidity tells them apart. */
function take(candidates: ListedMailbox[], folder: ExpectedFolder): ListedMailbox | undefined {
  const exact = candidates.findIndex(({ uidvalidity }) => uidvalidity === folder.uidvalidity);
  return candidates.splice(Math.max(exact, 0), 1)[0];
}

function compareFolder(
  folder: ExpectedFolder,
  mailbox: ListedMailbox,
  found: readonly DumpedMessage[],
  failures: 'wait' | 'published' | 'repaired',
  problems: string[],
): number {
  const wrong = (what: string) => problems.push(`${mailbox.name}: ${what}`);
  if (mailbox.state !== 'NON-TRANSITION') wrong(`state is ${mailbox.state}`);
  if (folder.uidvalidity !== null && folder.uidvalidity !== mailbox.uidvalidity) {
    wrong(`uidvalidity ${mailbox.uidvalidity}, expected ${folder.uidvalidity}`);
  }
  if (folder.uidnext !== null && folder.uidnext !== mailbox.uidnext) {
    wrong(`uidnext ${mailbox.uidnext}, expected ${folder.uidnext}`);
  }
  const left = new Set(found);
  const byUid = new Map(found.map((message) => [message.uid, message]));
  for (const message of folder.messages) {
    if (message.outcome === 'nothing') continue;
    const match =
      message.uid === null
        ? [...left].find((candidate) => candidate.sha256 === message.sha256)
        : byUid.get(message.uid);
    if (match === undefined) {
      const due = message.outcome === 'migrated' || (message.outcome === 'error' && failures === 'repaired');
      if (due) wrong(`uid ${message.uid ?? '(new)'} is missing`);
      continue;
    }
    left.delete(match);
    if (message.outcome === 'error' && failures !== 'repaired') wrong(`uid ${match.uid} is there, but had to fail`);
    const differences = messageDifferences(message, match);
    if (differences.length > 0) wrong(`uid ${match.uid}: ${differences.join(', ')}`);
  }
  for (const extra of left) wrong(`uid ${extra.uid} was not in 3.x`);
  return found.length;
}

function messageDifferences(expected: ExpectedMessage, found: DumpedMessage): string[] {
  const flags = [...expected.flags].map((letter) => LETTERS[letter] ?? letter);
  const wanted = new Set([...flags, ...expected.keywords.map((keyword) => keyword.toLowerCase())]);
  const actual = new Set(found.flags.map((flag) => flag.toLowerCase()));
  const sameFlags = wanted.size === actual.size && [...wanted].every((flag) => actual.has(flag));
  const date = typeof found.internaldate === 'number' ? found.internaldate : Date.parse(found.internaldate) / 1000;
  return [
    found.sha256 === expected.sha256 ? '' : 'content differs',
    found.size === expected.size ? '' : `size ${found.size}, expected ${expected.size}`,
    date === expected.date ? '' : `date ${found.internaldate}, expected ${expected.date}`,
    sameFlags ? '' : `flags ${[...actual].join(' ')}, expected ${[...wanted].join(' ')}`,
  ].filter((text) => text !== '');
}

async function readManifest(file: string): Promise<Map<string, ExpectedFolder[]>> {
  const folders = new Map<string, ExpectedFolder[]>();
  const byPath = new Map<string, ExpectedFolder>();
  for await (const line of linesOf(fs.createReadStream(file))) {
    const record = JSON.parse(line) as { type: string } & Omit<ExpectedFolder, 'messages'> & ExpectedMessage;
    const { user, folder, uidvalidity, uidnext, complete } = record;
    if (record.type === 'folder') {
      const entry = { user, folder, legacyName: legacyName(folder), uidvalidity, uidnext, complete, messages: [] };
      byPath.set(`${user}\0${folder}`, entry);
      add(folders, `${user}\0${entry.legacyName}`, entry);
    } else if (record.type === 'message') byPath.get(`${user}\0${folder}`)?.messages.push(record);
  }
  return folders;
}

/** The text of raw names: UTF-8 where a component decodes as UTF-8, ISO-8859-1 otherwise. */
function legacyName(base64: string): string {
  return Buffer.from(base64, 'base64')
    .toString('latin1')
    .split('/')
    .map((component) => {
      const bytes = Buffer.from(component, 'latin1');
      const text = bytes.toString('utf8');
      return Buffer.from(text, 'utf8').equals(bytes) ? text : component;
    })
    .join('/');
}

function add<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
