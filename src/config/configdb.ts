/**
 * `<instance>/config/configdb`: options as `option|value` lines (docs/formats/configdb.md).
 *
 * Invariants: a reader sees a whole file, old or new; a change is made under an exclusive flock on the
 * directory, from a fresh reading, so that two writers never lose a change; a line that is not an option
 * (comments, garbage, other programs' lines) keeps its bytes and its place.
 *
 * Option names are compared without case, as the product did (its options were LDAP attributes), and keep the
 * spelling they were first written in. Of repeated lines the last rules.
 */
import { isUtf8 } from 'node:buffer';
import { setTimeout as sleep } from 'node:timers/promises';
import { MailhaulError } from '../errors.js';
import { replaceFile } from '../fs/atomic.js';
import { closeDir, type Dir, type Ownership, stat } from '../fs/dir.js';
import { readFile } from '../fs/file.js';
import { tryFlock } from '../fs/flock.js';
import { walk } from '../fs/walk.js';

export const CONFIGDB = 'configdb';

/** Bytes; a larger file is not a configdb. */
const FILE_LIMIT = 16 << 20;
const NAME_LIMIT = 255;
/** Bytes of UTF-8 in one value. */
export const VALUE_LIMIT = 65536;
/** How long another writer is waited for; milliseconds. */
const LOCK_PATIENCE_MS = 10_000;

/** An option, in one language or without. */
export interface OptionKey {
  readonly option: string;
  /** `lang-fr`, lower case; null for the value without a language. */
  readonly language: string | null;
}

export interface ConfigEntry extends OptionKey {
  /** Empty for a cleared option. */
  readonly value: string;
}

export interface ConfigDb {
  /** The value; undefined when the option is not set or cleared. Reads the file afresh, as every call does. */
  get(option: string, language?: string | null): string | undefined;
  /** The entry, also a cleared one (empty value); undefined when there is none. */
  entry(option: string, language?: string | null): ConfigEntry | undefined;
  /** All entries in file order, cleared ones too. */
  entries(): ConfigEntry[];
  /** Entries without language (or of `language`) whose name begins with `prefix`, without cleared ones. */
  getByPrefix(prefix: string, language?: string | null): ConfigEntry[];
  /** Sets one option; null or '' clears it. */
  set(option: string, value: string | null, language?: string | null): Promise<void>;
  /** Makes several changes at once, all or none. A value '' clears. */
  update(changes: readonly ConfigEntry[]): Promise<void>;
}

/** `name` or `name;lang` in its parts. Throws CONF_OPTION (exit 2) for a name that breaks the rules. */
export function parseOptionKey(text: string): OptionKey {
  const at = text.indexOf(';');
  const option = at < 0 ? text : text.slice(0, at);
  const language = at < 0 ? null : parseLanguage(text.slice(at + 1));
  if (!isOptionName(option)) {
    throw new MailhaulError('CONF_OPTION', 'This is not an option name.', {
      where: JSON.stringify(text.slice(0, 300)),
      hint: 'Names are letters, digits, “-” and “_” in parts separated by single dots, 255 characters at most.',
      exit: 2,
    });
  }
  return { option, language };
}

/** A language tag, with or without its `;`, in lower case. Throws CONF_LANGUAGE (exit 2). */
export function parseLanguage(text: string): string {
  const tag = (text.startsWith(';') ? text.slice(1) : text).toLowerCase();
  if (!/^[a-z][a-z0-9-]{0,62}$/.test(tag)) {
    throw new MailhaulError('CONF_LANGUAGE', 'This is not a language tag.', {
      where: JSON.stringify(text.slice(0, 100)),
      hint: 'Write “;lang-” and a language, such as “;lang-fr”.',
      exit: 2,
    });
  }
  return tag;
}

/** True for a name that can be an option. */
export function isOptionName(name: string): boolean {
  return name.length <= NAME_LIMIT && /^[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$/.test(name);
}

/** Throws CONF_VALUE (exit 2) for a value that a line cannot hold or that would cheat a terminal. */
export function checkValue(option: string, value: string): void {
  const bad =
    // Everything below space but tab, DEL, and text that is no Unicode (it would change on its way to the file).
    /[\u0000-\u0008\u000a-\u001f\u007f]/.test(value) || Buffer.from(value).toString() !== value;
  if (bad || Buffer.byteLength(value) > VALUE_LIMIT) {
    const what = bad ? 'holds a line end or another control character' : `is longer than ${VALUE_LIMIT} bytes`;
    throw new MailhaulError('CONF_VALUE', `The value ${what}; nothing was changed.`, { where: option, exit: 2 });
  }
}

interface Line {
  /** The bytes of the line without its LF. */
  readonly raw: Buffer;
  /** Undefined for a line that is no option. */
  readonly entry: ConfigEntry | undefined;
}

/** `option|value` or `option;lang|value`; undefined for anything else. */
export function parseConfigLine(raw: Uint8Array): ConfigEntry | undefined {
  const bytes = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  if (!isUtf8(bytes)) return undefined;
  const text = bytes.toString('utf8').replace(/\r$/, '');
  const pipe = text.indexOf('|');
  if (pipe <= 0 || pipe > NAME_LIMIT + 65) return undefined;
  const name = text.slice(0, pipe);
  const semicolon = name.indexOf(';');
  const option = semicolon < 0 ? name : name.slice(0, semicolon);
  const language = semicolon < 0 ? null : name.slice(semicolon + 1).toLowerCase();
  if (!isOptionName(option) || (language !== null && !/^[a-z][a-z0-9-]{0,62}$/.test(language))) return undefined;
  return { option, language, value: text.slice(pipe + 1) };
}

function parseFile(content: Buffer): Line[] {
  const lines: Line[] = [];
  for (let start = 0; start < content.length; ) {
    const end = content.indexOf(0x0a, start);
    const raw = content.subarray(start, end < 0 ? content.length : end);
    lines.push({ raw, entry: parseConfigLine(raw) });
    start += raw.length + 1;
  }
  return lines;
}

/** Names and languages are equal without case. */
function keyOf(key: OptionKey): string {
  return `${key.option.toLowerCase()};${key.language?.toLowerCase() ?? ''}`;
}

/** The last entry of each key, in file order of that last line. */
function effective(lines: readonly Line[]): ConfigEntry[] {
  const last = new Map<string, ConfigEntry>();
  for (const { entry } of lines) {
    if (entry === undefined) continue;
    const key = keyOf(entry);
    last.delete(key);
    last.set(key, entry);
  }
  return [...last.values()];
}

function applyChanges(lines: readonly Line[], changes: readonly ConfigEntry[]): Buffer {
  const wanted = new Map(changes.map((change) => [keyOf(change), change]));
  const result: Buffer[] = [];
  const done = new Set<string>();
  const format = (key: OptionKey, value: string) =>
    Buffer.from(`${key.option}${key.language === null ? '' : `;${key.language}`}|${value}`);
  // From the end, so that the line that rules keeps its place and earlier repetitions of it go.
  for (const { raw, entry } of [...lines].reverse()) {
    const change = entry && wanted.get(keyOf(entry));
    if (entry === undefined || change === undefined) {
      result.push(raw);
    } else if (!done.has(keyOf(change))) {
      done.add(keyOf(change));
      result.push(format(entry, change.value));
    }
  }
  result.reverse();
  for (const [key, change] of wanted) if (!done.has(key)) result.push(format(change, change.value));
  return Buffer.concat(result.flatMap((line) => [line, Buffer.from('\n')]));
}

export interface ConfigDbOptions {
  /** File name in the directory, `configdb` unless given. */
  readonly name?: string;
  /** Owner of a file that is made new; one that exists keeps its owner and mode. */
  readonly owner?: Ownership;
}

/** The configdb in `directory` (held by the caller for as long). A missing file is an empty one. */
export function openConfigDb(directory: Dir, options: ConfigDbOptions = {}): ConfigDb {
  const name = options.name ?? CONFIGDB;
  const load = () => parseFile(readFile(directory, name, FILE_LIMIT) ?? Buffer.alloc(0));
  const db: ConfigDb = {
    entries: () => effective(load()),
    entry(option, language = null) {
      const key = keyOf({ option, language });
      return db.entries().find((entry) => keyOf(entry) === key);
    },
    get(option, language = null) {
      const value = db.entry(option, language)?.value;
      return value === '' ? undefined : value;
    },
    getByPrefix(prefix, language = null) {
      return db.entries().filter((entry) => entry.value !== '' && matchesPrefix(entry, prefix, language));
    },
    set: (option, value, language = null) => db.update([{ option, language, value: value ?? '' }]),
    async update(changes) {
      for (const change of changes) {
        parseOptionKey(change.option);
        if (change.language !== null) parseLanguage(change.language);
        checkValue(change.option, change.value);
      }
      await whileLocked(directory, () => {
        const file = stat(directory, name);
        const owner = file === undefined ? options.owner : { uid: Number(file.uid), gid: Number(file.gid) };
        const mode = file === undefined ? 0o600 : Number(file.mode) & 0o777;
        const content = readFile(directory, name, FILE_LIMIT) ?? Buffer.alloc(0);
        const replaced = applyChanges(parseFile(content), changes);
        if (!replaced.equals(content)) replaceFile(directory, name, replaced, owner, mode);
      });
    },
  };
  return db;
}

/** True when the entry has this language (null: none) and its name begins with `prefix`, without case. */
export function matchesPrefix(entry: ConfigEntry, prefix: string, language: string | null): boolean {
  return entry.language === language && entry.option.toLowerCase().startsWith(prefix.toLowerCase());
}

/** Runs `change` while this process, and this call alone within it, holds the directory's lock. */
async function whileLocked(directory: Dir, change: () => void): Promise<void> {
  // A descriptor of its own: flock belongs to the open file description, so that calls of one process exclude
  // each other too, and the lock goes with it.
  const held = walk(directory, []);
  try {
    const untilMs = performance.now() + LOCK_PATIENCE_MS;
    for (let pauseMs = 5; !tryFlock(held.fd, 'exclusive'); pauseMs = Math.min(pauseMs * 2, 200)) {
      // Looked at after the try: a process that was stopped itself finds its time over, and tries once more.
      if (performance.now() >= untilMs) throw await locked(held);
      await sleep(pauseMs);
    }
    change();
  } finally {
    closeDir(held);
  }
}

async function locked({ fd, path }: Dir): Promise<MailhaulError> {
  // Loaded for this answer only. Commands that give up the right to read their code have loaded it with the
  // store-wide lock.
  const { describeHolder, flockPids, holdersText } = await import('../fs/holders.js');
  const by = holdersText(flockPids(fd).map(describeHolder));
  const waited = `for ${LOCK_PATIENCE_MS / 1000} s it was locked by ${by}`;
  return new MailhaulError('CONF_LOCKED', `The configuration could not be changed: ${waited}.`, {
    where: path,
    hint: 'The lock goes with the process. Run the same command again when it goes on or has ended.',
  });
}
