/**
 * The product's log, `<instance>/log/default/default`.
 *
 *     [30/Aug/2004:16:53:05 -0700] vadar upgrade[13027]: Store Error: message
 *
 * Invariants: one call writes one line with one O_APPEND write, so lines of several processes never mix; no
 * message can forge a line (control characters, line separators and bidirectional controls are escaped, the
 * escape character too); the first line of a file says when it was created. The file is opened through a held
 * directory without following links, mode 0600, owned by the server account. Whoever logs passes no secrets:
 * nothing here knows of passwords, and the directory room never puts one into a message.
 */
import * as fs from 'node:fs';
import { hostname } from 'node:os';
import { hasErrno, MailhaulError } from '../errors.js';
import { statOpen } from '../fs/descriptor.js';
import { closeDir, createFile, type Dir, type Ownership, own, writeAll } from '../fs/dir.js';
import { openFile, openSoleFile } from '../fs/file.js';
import { tryFlock } from '../fs/flock.js';
import { ensureDirs } from '../fs/walk.js';

/** From silent to everything; the order of the product's `nsmsgLogLevel`. */
export const LOG_LEVELS = [
  'Nolog',
  'Emergency',
  'Alert',
  'Critical',
  'Error',
  'Warning',
  'Notice',
  'Information',
  'Debug',
] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];

/** Categories of the product's log files. */
export type LogCategory = 'General' | 'LDAP' | 'Network' | 'Account' | 'Protocol' | 'Stats' | 'Store';

export const DEFAULT_LOG_LEVEL: LogLevel = 'Notice';

/** A message is cut to this many characters, so that a line stays one small write. */
const MESSAGE_LIMIT = 8192;

export interface Log {
  /** Messages above this level are not written. */
  readonly level: LogLevel;
  /** Writes one line; throws what the file system throws (ENOSPC …), because a log that loses lines is a lie. */
  write(category: LogCategory, level: LogLevel, message: string): void;
  close(): void;
}

/** A log that keeps its lines (`Category Level: message`), for tests. */
export interface MemoryLog extends Log {
  readonly lines: string[];
}

/** Reads a level name without case; anything else is LOG_LEVEL, exit 2. */
export function parseLogLevel(text: string): LogLevel {
  const wanted = text.toLowerCase();
  const level = LOG_LEVELS.find((name) => name.toLowerCase() === wanted);
  if (level === undefined) {
    throw new MailhaulError('LOG_LEVEL', `“${escapeLogText(text)}” is not a log level.`, {
      hint: `One of ${LOG_LEVELS.join(', ')}.`,
      exit: 2,
    });
  }
  return level;
}

/** True when a message of `level` passes the threshold. */
export function logs(threshold: LogLevel, level: LogLevel): boolean {
  return level !== 'Nolog' && LOG_LEVELS.indexOf(level) <= LOG_LEVELS.indexOf(threshold);
}

/**
 * What text of others must not put into a line or onto a terminal, as a class of a regular expression: control
 * characters (C0, DEL, C1), line and paragraph separators, bidirectional controls.
 */
export const CONTROLS = '\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069';

// Also the escape character, and lone surrogates.
const UNSAFE = new RegExp(
  `[\\\\${CONTROLS}]|[\\ud800-\\udbff](?![\\udc00-\\udfff])|(?<![\\ud800-\\udbff])[\\udc00-\\udfff]`,
  'g',
);

/** Text that fits one line and shows what it held: `\n`, `\xNN`, `\uNNNN`, `\\`. */
export function escapeLogText(text: string): string {
  return text.replace(UNSAFE, (character) => {
    if (character === '\\') return '\\\\';
    if (character === '\n') return '\\n';
    if (character === '\r') return '\\r';
    if (character === '\t') return '\\t';
    const code = character.charCodeAt(0);
    const hex = code.toString(16);
    return code < 256 ? `\\x${hex.padStart(2, '0')}` : `\\u${hex.padStart(4, '0')}`;
  });
}

/** One line with its end, as it goes into the file. `now` in local time. */
export function formatLogLine(
  now: Date,
  host: string,
  process: string,
  pid: number,
  category: LogCategory,
  level: LogLevel,
  message: string,
): string {
  const text = message.length > MESSAGE_LIMIT ? `${message.slice(0, MESSAGE_LIMIT)}…` : message;
  return `[${formatDate(now)}] ${host} ${process}[${pid}]: ${category} ${level}: ${escapeLogText(text)}\n`;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `dd/Mon/yyyy:hh:mm:ss +-hhmm` in the time zone of the process. */
function formatDate(now: Date): string {
  const two = (n: number) => String(n).padStart(2, '0');
  // getTimezoneOffset is minutes west of UTC.
  const east = -now.getTimezoneOffset();
  const zone = `${east < 0 ? '-' : '+'}${two(Math.floor(Math.abs(east) / 60))}${two(Math.abs(east) % 60)}`;
  const date = `${two(now.getDate())}/${MONTHS[now.getMonth()]}/${now.getFullYear()}`;
  return `${date}:${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())} ${zone}`;
}

export interface LogOptions {
  /** The instance directory; `log/default` is made below it (mode 0700) when missing. */
  readonly instance: Dir;
  /** Server account; used when the process is root. */
  readonly owner?: Ownership;
  /** Threshold, DEFAULT_LOG_LEVEL unless given. */
  readonly level?: LogLevel;
  /** Name of the command; a letter, then letters, digits, `-`. `upgrade` unless given. */
  readonly process?: string;
}

/** Opens the log for appending; makes it when it is missing. Throws FS_NOT_REGULAR for a link or device in its place. */
export function openLog(options: LogOptions): Log {
  const level = options.level ?? DEFAULT_LOG_LEVEL;
  const name = options.process ?? 'upgrade';
  const host = (hostname().split('.')[0] ?? '').replace(/[^A-Za-z0-9_-]/g, '-') || 'localhost';
  const line = (category: LogCategory, lineLevel: LogLevel, message: string) =>
    formatLogLine(new Date(), host, name, process.pid, category, lineLevel, message);

  const directory = ensureDirs(options.instance, ['log', 'default'], options.owner);
  let fd: number;
  try {
    fd = openAppending(directory, options.owner, () =>
      line('General', 'Notice', `Log created (${Math.floor(Date.now() / 1000)})`),
    );
  } finally {
    closeDir(directory);
  }

  // After a write that was cut (disk full) the next line begins on a new line.
  let cut = false;
  return {
    level,
    write(category, lineLevel, message) {
      if (!logs(level, lineLevel)) return;
      const text = line(category, lineLevel, message);
      const bytes = Buffer.from(cut ? `\n${text}` : text);
      cut = true;
      writeAll(fd, bytes);
      cut = false;
    },
    close() {
      if (fd >= 0) fs.closeSync(fd);
      fd = -1;
    },
  };
}

const FILE = 'default';
const APPEND = fs.constants.O_WRONLY | fs.constants.O_APPEND;

function openAppending(directory: Dir, owner: Ownership | undefined, firstLine: () => string): number {
  try {
    fs.closeSync(createFile(directory, FILE, owner, 0o600));
  } catch (error) {
    if (!hasErrno(error, 'EEXIST')) throw error;
  }
  const fd = openSoleFile(directory, FILE, APPEND);
  try {
    const { uid, mode } = statOpen(fd);
    // A log that an earlier run as root left behind, or that others can read, is put right where we may.
    const foreign = owner?.uid !== undefined && uid !== owner.uid && process.geteuid?.() === 0;
    if (foreign || ((mode & 0o777) !== 0o600 && uid === process.geteuid?.())) own(fd, 0o600, owner);
    writeFirstLine(directory, fd, firstLine);
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
  return fd;
}

/** An empty file gets its first line from exactly one process: the one that holds the lock while it looks. */
function writeFirstLine(directory: Dir, fd: number, firstLine: () => string): void {
  for (let waited = 0; statOpen(fd).size === 0 && waited < 2000; waited += 10) {
    const lock = openFile(directory, FILE, fs.constants.O_RDONLY);
    try {
      if (tryFlock(lock, 'exclusive')) {
        if (statOpen(fd).size === 0) writeAll(fd, Buffer.from(firstLine()));
        return;
      }
    } finally {
      fs.closeSync(lock);
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
}

/** Keeps lines in memory. */
export function memoryLog(level: LogLevel = 'Debug'): MemoryLog {
  const lines: string[] = [];
  return {
    level,
    lines,
    write(category, lineLevel, message) {
      if (logs(level, lineLevel)) lines.push(`${category} ${lineLevel}: ${escapeLogText(message)}`);
    },
    close() {},
  };
}

/** Drops everything. */
export const nullLog: Log = { level: 'Nolog', write() {}, close() {} };
