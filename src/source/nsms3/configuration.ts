/**
 * Reader of `config/NscpMail.conf` (3x-profile.md, "Installation"): `Key: value` lines, `#` comments, keys
 * without case. What the migration rests on (version, host, directories, account) must be right or is refused;
 * a setting that is only carried along and cannot be read is left at its default with a warning.
 */
import { isUtf8 } from 'node:buffer';
import { MailhaulError, messageOf } from '../../errors.js';
import { closeDir, type Dir, displayPath, openDir } from '../../fs/dir.js';
import { readFile } from '../../fs/file.js';
import { LOG_LEVELS } from '../../log/log.js';
import { LARGEST_QUOTA, parseQuotaBytes } from '../../store/quota.js';
import type { SourceConfiguration, SourceSettings } from '../types.js';
import { quoteBytes, type WarningList, warningList } from '../warnings.js';
import { trimBlanks } from './blanks.js';

const DIRECTORY = 'config';
const FILE = 'NscpMail.conf';
const MAX_BYTES = 1 << 20;

/** Keys of the profile, in lower case. Every other key is kept and reported. */
const KEYS = [
  'version',
  'hostname',
  'mailboxdirectory',
  'postofficedirectory',
  'ldapurl',
  'ldapbasedn',
  'ldapbinddn',
  'ldapbindpasswordfile',
  'serveruser',
  'servergroup',
  'postmaster',
  'smtpport',
  'imapport',
  'popport',
  'httpport',
  'quotadefault',
  'maxqueuetime',
  'loglevel',
  'allowbarelf',
  'singlecopy',
] as const;

type Key = (typeof KEYS)[number];

interface Entry {
  /** As spelled in the file. */
  readonly key: string;
  readonly value: string;
  readonly line: number;
}

interface ParsedFile {
  readonly known: ReadonlyMap<Key, Entry>;
  readonly unknown: readonly Entry[];
}

/** Reads the configuration below the 3.x instance directory. Throws MailhaulError CONF_* (exit 3). */
export function readConfiguration(instance: Dir): SourceConfiguration {
  const path = `${displayPath(instance, DIRECTORY)}/${FILE}`;
  return parseConfiguration(load(instance, path), path);
}

function load(instance: Dir, path: string): Buffer {
  let content: Buffer | undefined;
  try {
    const config = openDir(instance, DIRECTORY);
    try {
      content = readFile(config, FILE, MAX_BYTES);
    } finally {
      closeDir(config);
    }
  } catch (cause) {
    const what = messageOf(cause);
    throw new MailhaulError('CONF_UNREADABLE', `The 3.x configuration cannot be read: ${what}`, {
      where: path,
      hint: 'Name the directory of the 3.x instance (msg-<name>), which holds config/NscpMail.conf.',
      cause,
    });
  }
  if (content !== undefined) return content;
  throw new MailhaulError('CONF_MISSING_FILE', 'There is no 3.x configuration.', {
    where: path,
    hint: 'Name the directory of the 3.x instance (msg-<name>), which holds config/NscpMail.conf.',
  });
}

/** The same from bytes; `path` is for messages. */
export function parseConfiguration(content: Uint8Array, path: string): SourceConfiguration {
  const warnings = warningList();
  const file = parseLines(content, path, warnings);
  const text = (key: Key): string | null => file.known.get(key)?.value ?? null;
  const directory = (key: Key): string | null => absolutePath(file.known.get(key), path);

  const version = required(file, 'version', 'Version', path);
  checkVersion(version, path);
  const hostName = required(file, 'hostname', 'HostName', path);
  checkHostName(hostName, path, warnings);
  const mailboxDirectory = required(file, 'mailboxdirectory', 'MailboxDirectory', path);
  return {
    version: version.value,
    hostName: hostName.value,
    mailboxDirectory: directory('mailboxdirectory') ?? mailboxDirectory.value,
    postOfficeDirectory: directory('postofficedirectory'),
    directory: {
      url: text('ldapurl'),
      baseDn: text('ldapbasedn'),
      bindDn: text('ldapbinddn'),
      bindPasswordFile: text('ldapbindpasswordfile'),
    },
    serverUser: account(file.known.get('serveruser'), 'mailsrv', path),
    serverGroup: account(file.known.get('servergroup'), 'nobody', path),
    settings: readSettings(file, warnings),
    unknown: file.unknown,
    warnings: warnings.finish(),
  };
}

function parseLines(content: Uint8Array, path: string, warnings: WarningList): ParsedFile {
  const strict = new TextDecoder('utf-8', { fatal: true });
  const known = new Map<Key, Entry>();
  const unknown: Entry[] = [];
  let number = 0;
  for (const bytes of splitLines(content)) {
    number++;
    // Bytes are looked at as ISO-8859-1 first: a comment in any encoding does no harm.
    const raw = trimBlanks(Buffer.from(bytes).toString('latin1'));
    if (raw === '' || raw.startsWith('#')) continue;
    const colon = raw.indexOf(':');
    const key = trimBlanks(raw.slice(0, Math.max(colon, 0)));
    if (!/^[A-Za-z0-9._-]+$/.test(key)) {
      warnings.add('CONF_LINE', number, `The line is not "Key: value": it is ignored and not kept${aboutKey(raw)}.`);
      continue;
    }
    const name = KEYS.find((candidate) => candidate === key.toLowerCase());
    const valueBytes = Buffer.from(trimBlanks(raw.slice(colon + 1)), 'latin1');
    if (name === undefined) {
      unknown.push({ key, value: valueBytes.toString('utf8'), line: number });
      const lossy = isUtf8(valueBytes) ? '' : '; its value is not UTF-8: what is not is kept as U+FFFD';
      const text = `The key ${quoteBytes(Buffer.from(key))} is not known and not used${lossy}.`;
      warnings.add('CONF_UNKNOWN_KEY', number, text);
      continue;
    }
    let value: string;
    try {
      value = strict.decode(valueBytes);
    } catch {
      throw bad(path, number, `The value of ${key} is not UTF-8.`);
    }
    if (/[\x00-\x1f\x7f]/.test(value)) throw bad(path, number, `The value of ${key} holds a control character.`);
    // An empty value is the same as no line.
    if (value === '') continue;
    const first = known.get(name);
    if (first !== undefined && first.value !== value) {
      throw bad(path, number, `${key} has another value than in line ${first.line}.`, 'CONF_DUPLICATE');
    }
    known.set(name, first ?? { key, value, line: number });
  }
  return { known, unknown };
}

/** Nobody knows what such a line holds, a password perhaps: no more of it is shown than a key of the profile. */
function aboutKey(line: string): string {
  const word = /^[A-Za-z]*/.exec(line)?.[0] ?? '';
  return KEYS.some((key) => key === word.toLowerCase()) ? `; it begins with ${word}` : '';
}

/** Lines without LF or CR LF; a byte order mark at the start is not part of the first. */
function* splitLines(content: Uint8Array): Generator<Uint8Array> {
  const bom = content[0] === 0xef && content[1] === 0xbb && content[2] === 0xbf;
  let start = bom ? 3 : 0;
  while (start < content.length) {
    const lf = content.indexOf(0x0a, start);
    const end = lf === -1 ? content.length : lf;
    yield content.subarray(start, end);
    start = end + 1;
  }
}

function bad(path: string, line: number, message: string, code = 'CONF_VALUE'): MailhaulError {
  return new MailhaulError(code, message, { where: `${path}, line ${line}`, hint: 'Correct the line.' });
}

function required(file: ParsedFile, key: Key, spelling: string, path: string): Entry {
  const entry = file.known.get(key);
  if (entry !== undefined) return entry;
  throw new MailhaulError('CONF_REQUIRED', `The 3.x configuration has no ${spelling}.`, {
    where: path,
    hint: `Add a line "${spelling}: …".`,
  });
}

/**
 * 3.01 … 3.6, with the patch levels of 3.6 (3.61, 3.62). The fraction is decimal: 3.5 comes after 3.01, and
 * 3.005 before it. A third number is a patch level of the first two.
 */
function checkVersion(version: Entry, path: string): void {
  const match = /^(\d{1,4})\.(\d{1,6})(?:\.\d{1,6}){0,2}$/.exec(version.value);
  const fraction = Number(`0.${match?.[2] ?? '0'}`);
  if (match !== null && Number(match[1]) === 3 && fraction >= 0.01 && fraction < 0.7) return;
  throw new MailhaulError('CONF_VERSION', `Version ${JSON.stringify(version.value)} cannot be migrated.`, {
    where: `${path}, line ${version.line}`,
    hint: 'Versions 3.01 to 3.6 can. Upgrade an older server to 3.6 first.',
  });
}

function checkHostName(host: Entry, path: string, warnings: WarningList): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/.test(host.value)) {
    throw bad(path, host.line, `HostName ${JSON.stringify(host.value)} is not a host name.`);
  }
  if (!host.value.includes('.')) {
    warnings.add('CONF_HOST', host.line, 'HostName has no domain; it must equal mailHost of the users.');
  }
}

/** A normalised absolute path; null when the key is absent. */
function absolutePath(entry: Entry | undefined, path: string): string | null {
  if (entry === undefined) return null;
  const parts = entry.value.split('/').filter((part) => part !== '');
  if (!entry.value.startsWith('/') || parts.includes('.') || parts.includes('..')) {
    throw bad(path, entry.line, `${entry.key} must be an absolute path without "." and "..".`, 'CONF_PATH');
  }
  return `/${parts.join('/')}`;
}

function account(entry: Entry | undefined, standard: string, path: string): string {
  if (entry === undefined) return standard;
  if (/[\s:/]/.test(entry.value)) throw bad(path, entry.line, `${entry.key} is not the name of an account.`);
  return entry.value;
}

function readSettings(file: ParsedFile, warnings: WarningList): SourceSettings {
  const take = <T>(key: Key, read: (value: string, line: number) => T | undefined): T | null => {
    const entry = file.known.get(key);
    if (entry === undefined) return null;
    const value = read(entry.value, entry.line);
    if (value !== undefined) return value;
    const message = `${entry.key} cannot be read and stays at its default: ${quoteBytes(Buffer.from(entry.value))}`;
    warnings.add('CONF_SETTING', entry.line, message);
    return null;
  };
  const port = (value: string) =>
    /^\d{1,16}$/.test(value) && Number(value) >= 1 && Number(value) <= 65535 ? Number(value) : undefined;
  const yesNo = (value: string) =>
    /^(yes|true|on|1)$/i.test(value) ? true : /^(no|false|off|0)$/i.test(value) ? false : undefined;
  const asIs = (value: string) => value;
  const level = (value: string) => LOG_LEVELS.find((name) => name.toLowerCase() === value.toLowerCase());
  const quota = (value: string, line: number) => {
    const read = parseQuotaBytes(value);
    if (read?.isReduced) {
      warnings.add('CONF_SETTING', line, `QuotaDefault is more than 4.x can hold and becomes ${LARGEST_QUOTA}.`);
    }
    return read?.bytes;
  };
  return {
    postmaster: take('postmaster', asIs),
    smtpPort: take('smtpport', port),
    imapPort: take('imapport', port),
    popPort: take('popport', port),
    httpPort: take('httpport', port),
    quotaDefault: take('quotadefault', quota),
    maxQueueTime: take('maxqueuetime', asIs),
    logLevel: take('loglevel', level),
    allowBareLf: take('allowbarelf', yesNo),
    singleCopy: take('singlecopy', yesNo),
  };
}
