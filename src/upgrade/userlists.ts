/**
 * User list files (guide, "Migrating Users in a Multi-Partition Environment"; docs/formats/instance.md):
 *
 *     [4x partition]:marketing
 *     [3x MailStorePath]:/mail/marketing
 *     #---------List of mail user id ------
 *     username1
 *     user2
 *
 * `upgrade -s` writes one a partition, people write others by hand. The first three lines are exact; the
 * mapping database, not the list, says where a user's mail lies, so a list can name users but never paths.
 */
import * as fs from 'node:fs';
import { describeError, EXIT, MailhaulError } from '../errors.js';
import { readOpen } from '../fs/descriptor.js';
import { openNamedFile } from '../fs/named.js';
import { escapeLogText } from '../log/log.js';
import type { MappingUser } from './types.js';

const PARTITION_LINE = '[4x partition]:';
const STORE_PATH_LINE = '[3x MailStorePath]:';
const SEPARATOR_LINE = '#---------List of mail user id ------';

/** `__up.<partition>.txt`, in the 3.x default mailbox directory. */
export function userListFileName(partition: string): string {
  return `__up.${partition}.txt`;
}

/**
 * `__up.<partition>.former<n>.txt`: a list has one store path, and these users of the partition have their mail in
 * another one still.
 */
export function formerListFileName(partition: string, n: number): string {
  return `__up.${partition}.former${n}.txt`;
}

/** Whether a file is such a list: `-s` takes away those that it has no users for any more. */
export function isFormerList(name: string): boolean {
  return /^__up\.[A-Za-z0-9]+\.former[0-9]+\.txt$/.test(name);
}

/** The three header lines, with their ends. */
export function userListHeader(partition: string, storePath: string): string {
  return `${PARTITION_LINE}${partition}\n${STORE_PATH_LINE}${storePath}\n${SEPARATOR_LINE}\n`;
}

export interface UserListProblem {
  /** 1-based. */
  readonly line: number;
  /** The user id of the line; '' where it holds none. */
  readonly user: string;
  readonly code: 'USERLIST_BLANK' | 'USERLIST_LINE' | 'USERLIST_UNKNOWN' | 'USERLIST_ELSEWHERE' | 'USERLIST_REPEATED';
  readonly message: string;
}

export interface UserList {
  readonly partition: string;
  readonly storePath: string;
  /** Good lines, in file order, each user once. */
  readonly users: readonly string[];
  /** Lines that name no user of this list; the first `PROBLEMS_KEPT`. */
  readonly errors: readonly UserListProblem[];
  readonly errorsNotListed: number;
  /** Repeated users; harmless. */
  readonly warnings: readonly UserListProblem[];
}

const PROBLEMS_KEPT = 10_000;

/** Longest line that can mean anything: a store path of PATH_MAX, or a uid. Longer ones are reported, not held. */
const LINE_LIMIT = 4096 + STORE_PATH_LINE.length;

/** Characters of an unknown user id that are told. */
const USER_SHOWN = 100;

/** A line without its end; undefined bytes when it is longer than LINE_LIMIT. */
type Line = Buffer | 'too long';

/**
 * Reads a list file.
 *
 * @param lookup the user in the mapping database
 * @throws MailhaulError USERLIST_HEADER (exit 2) for a wrong header, USERLIST_FILE (exit 2) when it cannot be read
 */
export function readUserList(path: string, lookup: (uid: string) => MappingUser | undefined): UserList {
  let fd: number;
  try {
    fd = openNamedFile(path);
  } catch (error) {
    const message = `The user list cannot be read: ${describeError(error)}.`;
    throw new MailhaulError('USERLIST_FILE', message, { where: path, exit: EXIT.usage, cause: error });
  }
  try {
    return parseUserList(chunksOf(fd), lookup, path);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Parses a list. Memory is bounded by the good users and PROBLEMS_KEPT, whatever the bytes are.
 *
 * @param where name of the list for messages
 * @throws MailhaulError USERLIST_HEADER (exit 2)
 */
export function parseUserList(
  chunks: Iterable<Uint8Array>,
  lookup: (uid: string) => MappingUser | undefined,
  where: string,
): UserList {
  const lines = linesOf(chunks);
  const partition = headerValue(lines, 1, PARTITION_LINE, where);
  // Names are made of letters and digits: anything else, a blank after the colon included, is not the format.
  if (!/^[A-Za-z0-9]+$/.test(partition)) throw headerError(1, PARTITION_LINE, where);
  const storePath = normalise(headerValue(lines, 2, STORE_PATH_LINE, where));
  if (!storePath.startsWith('/')) throw headerError(2, STORE_PATH_LINE, where);
  if (headerValue(lines, 3, SEPARATOR_LINE, where) !== '') throw headerError(3, SEPARATOR_LINE, where);

  const users = new Set<string>();
  const errors: UserListProblem[] = [];
  const warnings: UserListProblem[] = [];
  let errorsNotListed = 0;
  let line = 3;
  for (const bytes of lines) {
    line += 1;
    const result = readLine(bytes, line, { partition, storePath, lookup });
    if (typeof result !== 'string') {
      if (errors.length < PROBLEMS_KEPT) errors.push(result);
      else errorsNotListed += 1;
    } else if (users.has(result)) {
      if (warnings.length < PROBLEMS_KEPT) {
        warnings.push({ line, user: result, code: 'USERLIST_REPEATED', message: `User ${result} is listed before.` });
      }
    } else users.add(result);
  }
  return { partition, storePath, users: [...users], errors, errorsNotListed, warnings };
}

interface Expected {
  readonly partition: string;
  readonly storePath: string;
  readonly lookup: (uid: string) => MappingUser | undefined;
}

/** Text of a list for a message: there may be 10,000 messages, and the header's lines may be 4 KiB long. */
function shortened(text: string): string {
  return `${escapeLogText(text.slice(0, 100))}${text.length > 100 ? '…' : ''}`;
}

/** The uid of a good line, or what is wrong with it. */
function readLine(bytes: Line, line: number, expected: Expected): string | UserListProblem {
  if (bytes === 'too long') {
    return { line, user: '', code: 'USERLIST_LINE', message: `The line is longer than ${LINE_LIMIT} bytes.` };
  }
  const text = bytes.toString('latin1');
  const shown = `"${shortened(text)}"`;
  if (text.trim() === '') return { line, user: '', code: 'USERLIST_BLANK', message: 'The line is blank.' };
  if (/[^\x21-\x7e]/.test(text)) {
    return {
      line,
      user: '',
      code: 'USERLIST_LINE',
      message: `A user id has no spaces or control characters: ${shown}.`,
    };
  }
  const user = expected.lookup(text);
  if (user === undefined) {
    const message = `User ${shown} is not in the mapping database; is it a user of this server, did \`upgrade -s\` see it?`;
    return { line, user: text.slice(0, USER_SHOWN), code: 'USERLIST_UNKNOWN', message };
  }
  if (user.partition !== expected.partition || user.storePath !== expected.storePath) {
    const message =
      `User ${shown} lies in partition ${user.partition}, ${shortened(user.storePath)}, ` +
      `not in ${shortened(expected.partition)}, ${shortened(expected.storePath)}.`;
    return { line, user: user.uid, code: 'USERLIST_ELSEWHERE', message };
  }
  return user.uid;
}

function headerValue(lines: Iterator<Line>, line: number, prefix: string, where: string): string {
  const next = lines.next();
  if (next.done === true || next.value === 'too long') throw headerError(line, prefix, where);
  const text = next.value.toString('utf8');
  if (!text.startsWith(prefix)) throw headerError(line, prefix, where);
  const value = text.slice(prefix.length);
  if (prefix !== SEPARATOR_LINE && !/^[^\u0000-\u001f\u007f]+$/.test(value)) throw headerError(line, prefix, where);
  return value;
}

function headerError(line: number, expected: string, where: string): MailhaulError {
  const what = {
    [PARTITION_LINE]: `begin with \`${PARTITION_LINE}\`, followed at once by a partition name`,
    [STORE_PATH_LINE]: `begin with \`${STORE_PATH_LINE}\`, followed at once by an absolute path`,
  }[expected];
  const message = `Line ${line} of the user list must ${what ?? `be \`${expected}\``}.`;
  return new MailhaulError('USERLIST_HEADER', message, {
    where: `${where}:${line}`,
    hint: 'Copy the three header lines from the list that `upgrade -s` wrote; lines end with LF alone.',
    exit: EXIT.usage,
  });
}

/** A doubled or trailing slash means nothing (3x-profile.md, Directory entries). */
function normalise(path: string): string {
  return path.replace(/\/{2,}/g, '/').replace(/(?<=.)\/$/, '');
}

/** Lines without their LF; the rest after the last LF is a line when it is not empty. */
function* linesOf(chunks: Iterable<Uint8Array>): Generator<Line, void, undefined> {
  let pending: Buffer[] = [];
  let length = 0;
  const finish = (): Line => {
    const line = length > LINE_LIMIT ? 'too long' : Buffer.concat(pending);
    pending = [];
    length = 0;
    return line;
  };
  const add = (part: Buffer): void => {
    length += part.length;
    if (length <= LINE_LIMIT) pending.push(Buffer.from(part));
    else pending = [];
  };
  for (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let start = 0;
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
      add(bytes.subarray(start, end));
      yield finish();
      start = end + 1;
    }
    if (start < bytes.length) add(bytes.subarray(start));
  }
  if (length > 0) yield finish();
}

function* chunksOf(fd: number): Generator<Uint8Array> {
  const buffer = Buffer.alloc(1 << 16);
  for (;;) {
    const read = readOpen(fd, buffer, null);
    if (read === 0) return;
    yield buffer.subarray(0, read);
  }
}
