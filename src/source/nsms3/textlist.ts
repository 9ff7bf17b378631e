/**
 * The small text files beside an index, `.acl` and `.subscriptions`: read whole, tolerant, bounded. Where every
 * line that is not blank ends in CR, the file came through another system and the CRs are not part of it.
 */
import * as fs from 'node:fs';
import { hasErrno, isOutOfResources, MailhaulError, messageOf } from '../../errors.js';
import { type Dir, displayPath, stat } from '../../fs/dir.js';
import { ASK, headOf, type SmallFile, type SmallFiles } from '../../fs/glance.js';
import { openOwnedFile } from '../../fs/ownedFile.js';
import type { WarningList } from '../warnings.js';
import { bytesSource, type LineSource, openFileSource, readLines } from './lines.js';

export interface TextLine {
  readonly bytes: Buffer;
  /** 1-based. */
  readonly number: number;
}

/** One of these files, and how its trouble is called. */
export interface TextFile {
  readonly name: SmallFile;
  readonly fileBytes: number;
  readonly lineBytes: number;
  /** Lines that are not blank. */
  readonly lines: number;
  /** Code of what is left out with a warning. */
  readonly warning: string;
  /** Code of the error when it is there and cannot be read. */
  readonly unreadable: string;
}

/**
 * Lines that are not blank. A link, or another kind of file of that name, holds none, with a warning.
 *
 * @throws MailhaulError `file.unreadable`: rights and subscriptions that are there must not be taken for none; EMFILE
 *   and its like as they are: what the process lacks says nothing of the file
 */
export function readTextLines(dir: Dir, file: TextFile, warnings: WarningList, files?: SmallFiles): TextLine[] {
  const { name, warning } = file;
  const opened = openSource(dir, file, warnings, files);
  if (opened === undefined) return [];
  const lines: TextLine[] = [];
  let allCr = true;
  try {
    const read = readLines(
      opened.source,
      file,
      (bytes, start, end, number) => {
        if (end === start || (end === start + 1 && bytes[start] === CR)) return;
        if (lines.length === file.lines) {
          warnings.add(warning, number, `Only the first ${file.lines} lines of ${name} are used.`);
          return;
        }
        if (bytes[end - 1] !== CR) allCr = false;
        lines.push({ bytes: Buffer.from(bytes.subarray(start, end)), number });
      },
      (number) => warnings.add(warning, number, `The line of ${name} is too long and is ignored.`),
    );
    if (read.cut) warnings.add(warning, name, `Only the first ${file.fileBytes} bytes of ${name} are used.`);
  } catch (error) {
    throw cannotBeRead(dir, file, error);
  } finally {
    opened.close();
  }
  return allCr ? lines.map(({ bytes, number }) => ({ bytes: bytes.subarray(0, -1), number })) : lines;
}

const CR = 0x0d;

/** Most of these files are no longer. */
const SMALL_BYTES = 4096;

interface OpenedSource {
  readonly source: LineSource;
  close(): void;
}

/** undefined where nothing of it is to be read. */
function openSource(
  dir: Dir,
  file: TextFile,
  warnings: WarningList,
  files: SmallFiles | undefined,
): OpenedSource | undefined {
  const { name, warning } = file;
  const head = headOf(dir, name, SMALL_BYTES, files);
  if (head === undefined) return undefined;
  if (head !== ASK && head.size <= SMALL_BYTES) {
    return { source: bytesSource(Buffer.from(head.text, 'latin1')), close: () => {} };
  }
  try {
    // Most folders have no such file; to ask first is cheaper than an exception.
    if (stat(dir, name) === undefined) return undefined;
    const fd = openOwnedFile(dir, name);
    return { source: openFileSource(fd), close: () => fs.closeSync(fd) };
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    if (!isNoFile(error)) throw cannotBeRead(dir, file, error);
    warnings.add(warning, name, `${name} is ignored: ${messageOf(error)}`);
    return undefined;
  }
}

/** Something else has the name; ELOOP and ENXIO where a link, a fifo or a socket got it a moment ago. */
function isNoFile(error: unknown): boolean {
  return hasErrno(error, 'ELOOP', 'ENXIO') || (error instanceof MailhaulError && error.code === 'FS_NOT_REGULAR');
}

/** The error to throw. */
function cannotBeRead(dir: Dir, { name, unreadable }: TextFile, cause: unknown): unknown {
  if (isOutOfResources(cause)) return cause;
  return new MailhaulError(unreadable, `${name} cannot be read: ${messageOf(cause)}.`, {
    where: displayPath(dir, name),
    hint: 'Correct its owner and mode, or repair the disk, then run the same command again.',
    cause,
  });
}
