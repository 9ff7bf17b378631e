/**
 * The small text files beside an index, `.acl` and `.subscriptions`: read whole, tolerant, bounded. Where every
 * line that is not blank ends in CR, the file came through another system and the CRs are not part of it.
 */
import * as fs from 'node:fs';
import { hasErrno, isOutOfResources, messageOf } from '../../errors.js';
import { type Dir, stat } from '../../fs/dir.js';
import { ASK, headOf, type SmallFile, type SmallFiles } from '../../fs/glance.js';
import { openOwnedFile } from '../../fs/ownedFile.js';
import type { WarningList } from '../warnings.js';
import { bytesSource, type LineSource, openFileSource, readLines } from './lines.js';

export interface TextLine {
  readonly bytes: Buffer;
  /** 1-based. */
  readonly number: number;
}

export interface TextLimits {
  readonly fileBytes: number;
  readonly lineBytes: number;
  /** Lines that are not blank. */
  readonly lines: number;
}

/** Lines of `name` that are not blank. A file that cannot be read is a warning (`code`) and no lines. */
export function readTextLines(
  dir: Dir,
  name: SmallFile,
  limits: TextLimits,
  code: string,
  warnings: WarningList,
  files?: SmallFiles,
): TextLine[] {
  const opened = openSource(dir, name, code, warnings, files);
  if (opened === undefined) return [];
  const lines: TextLine[] = [];
  let allCr = true;
  try {
    const read = readLines(
      opened.source,
      limits,
      (bytes, start, end, number) => {
        if (end === start || (end === start + 1 && bytes[start] === CR)) return;
        if (lines.length === limits.lines) {
          warnings.add(code, number, `Only the first ${limits.lines} lines of ${name} are used.`);
          return;
        }
        if (bytes[end - 1] !== CR) allCr = false;
        lines.push({ bytes: Buffer.from(bytes.subarray(start, end)), number });
      },
      (number) => warnings.add(code, number, `The line of ${name} is too long and is ignored.`),
    );
    if (read.cut) warnings.add(code, name, `Only the first ${limits.fileBytes} bytes of ${name} are used.`);
  } catch (error) {
    cannotBeRead(name, error, code, warnings);
    return [];
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
  name: SmallFile,
  code: string,
  warnings: WarningList,
  files: SmallFiles | undefined,
): OpenedSource | undefined {
  const head = headOf(dir, name, SMALL_BYTES, files);
  if (head === undefined) return undefined;
  if (head !== ASK && head.size <= SMALL_BYTES) {
    return { source: bytesSource(Buffer.from(head.text, 'latin1')), close: () => {} };
  }
  // Most folders have no such file; to ask first is cheaper than an exception.
  if (stat(dir, name) === undefined) return undefined;
  try {
    const fd = openOwnedFile(dir, name);
    return { source: openFileSource(fd), close: () => fs.closeSync(fd) };
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) cannotBeRead(name, error, code, warnings);
    return undefined;
  }
}

/** What the process lacks says nothing of the file: to go on would take away rights and subscriptions that are there. */
function cannotBeRead(name: string, error: unknown, code: string, warnings: WarningList): void {
  if (isOutOfResources(error)) throw error;
  warnings.add(code, name, `${name} cannot be read and is ignored: ${messageOf(error)}`);
}
