/**
 * Moves the messages of one folder, in the order of design.md, "One folder, in order", step 3, and writes
 * its index. The same rules, step by step, as native/src/engine/migrate.cc.
 *
 * The table is taken in slices of ascending uids. Within a slice messages are read in inode order; then the
 * slice's index entries are written in uid order, so that a giant folder never holds its whole cache in
 * memory. How a folder is cut into slices does not show in the result.
 */
import * as fs from 'node:fs';
import { constants as osConstants } from 'node:os';
import type { Dir, Name } from '../../fs/dir.js';
import { settle } from '../../fs/pace.js';
import { digest } from '../../store/digest.js';
import { addKilobytes } from '../progress.js';
import { rowOfUid } from '../rows.js';
import {
  type EngineInput,
  type EngineOutput,
  type EngineTimes,
  type IndexSummary,
  isDeviceError,
  MESSAGE_ERRORS,
  type MessageTable,
  PROGRESS,
} from '../types.js';
import { IndexFile } from './indexFile.js';
import { Halted, MessageFailed, onTarget } from './outcome.js';
import { Placer } from './place.js';
import { MESSAGE_LIMIT, openSource, type ReadBuffer, type Source } from './source.js';
import { type Claim, sweep } from './sweep.js';
import { inodeOrder, namesOf } from './table.js';
import { TargetFolder } from './target.js';

const SLICE_MESSAGES = 4096;
/** A slice's cache entries stay in memory until it ends; at worst they are about as large as its messages. */
const SLICE_BYTES = 128 * 1024 * 1024;

/** So many messages in a row that the device cannot read are no bad blocks any more: the disk is dying. */
const DEAD_SOURCE = 32;

/** The message parser (engine/message). */
export interface MessageParser {
  /** Of a message in CRLF form; `cache` is not touched by later calls. */
  parseMessage(message: Uint8Array): { readonly headerBytes: number; readonly cache: Uint8Array };
  /** The same array when the message is in CRLF form already. */
  crlfForm(message: Uint8Array): Uint8Array;
}

/** What the index needs of a message of the current slice. */
interface Parsed {
  readonly size: number;
  readonly headerBytes: number;
  readonly digest: Uint8Array;
  readonly cache: Uint8Array;
}

export function migrate(input: EngineInput, parser: MessageParser, buffer: ReadBuffer): EngineOutput {
  return new Migration(input, parser, buffer).run();
}

class Migration {
  private readonly input: EngineInput;
  private readonly table: MessageTable;
  private readonly parser: MessageParser;
  private readonly buffer: ReadBuffer;
  private readonly source: Dir;
  private readonly target: TargetFolder;
  private readonly placer: Placer;
  private readonly name: (i: number) => Name;
  private readonly methods: Uint8Array;
  private readonly errors: Uint8Array;
  private readonly errnos: Int32Array;
  private index: IndexFile | undefined;
  private failures = 0;
  /** Messages in a row that the device could not read. */
  private unreadable = 0;
  private bytes = 0;
  /** EngineOutput.times; `read` begins where `mark` says. */
  private readonly times = { read: 0, parse: 0, place: 0, index: 0 };
  private mark = 0;
  /** Bytes that are not yet in PROGRESS.kilobytes. */
  private unreported = 0;

  constructor(input: EngineInput, parser: MessageParser, buffer: ReadBuffer) {
    this.input = input;
    this.table = input.messages;
    this.parser = parser;
    this.buffer = buffer;
    this.source = heldDir(input.sourceFd);
    const account = { uid: input.ownerUid, gid: input.ownerGid, set: input.setOwner };
    this.target = new TargetFolder(heldDir(input.targetFd), account);
    const registry = input.singleFd < 0 ? undefined : heldDir(input.singleFd);
    this.placer = new Placer(this.target, registry, input.resumed);
    this.name = namesOf(this.table);
    this.methods = new Uint8Array(this.table.count);
    this.errors = new Uint8Array(this.table.count);
    this.errnos = new Int32Array(this.table.count);
  }

  run(): EngineOutput {
    try {
      if (!this.moveAll()) return this.output(null, null, true);
      if (!this.publishes()) this.dropIndex();
      if (this.input.resumed) sweep(this.target.dir, this.claims(), this.index !== undefined);
      return this.output(this.publish(), null, false);
    } catch (error) {
      return this.output(null, haltOf(error), false);
    } finally {
      this.dropIndex();
      this.target.close();
    }
  }

  /** False when the run was cancelled. */
  private moveAll(): boolean {
    for (let first = 0; first < this.table.count; ) {
      const end = this.sliceEnd(first);
      const parsed = this.moveSlice(first, end);
      if (parsed === undefined) return false;
      if (this.publishes()) this.indexSlice(first, parsed);
      first = end;
    }
    return true;
  }

  /** All moved so far without failure, or failures do not matter. */
  private publishes(): boolean {
    return this.failures === 0 || this.input.publishWithFailures;
  }

  private sliceEnd(first: number): number {
    let bytes = 0;
    let end = first;
    while (end < this.table.count && end - first < SLICE_MESSAGES && (end === first || bytes < SLICE_BYTES)) {
      bytes += this.table.sizes[end++] ?? 0;
    }
    return end;
  }

  /** Moves rows `first` … `end`; what was parsed, by row, or undefined when the run was cancelled. */
  private moveSlice(first: number, end: number): (Parsed | undefined)[] | undefined {
    const { refused } = this.table;
    for (let i = first; i < end; i++) {
      if (refused[i] !== 0) this.fail(i, refused[i] ?? 0, 0);
    }
    const parsed = new Array<Parsed | undefined>(end - first).fill(undefined);
    for (const i of inodeOrder(this.table, first, end)) {
      if (refused[i] !== 0) continue;
      if (Atomics.load(this.input.progress, PROGRESS.cancel) !== 0) return undefined;
      try {
        parsed[i - first] = this.move(i);
      } catch (error) {
        if (!(error instanceof MessageFailed)) throw error;
        this.fail(i, MESSAGE_ERRORS.indexOf(error.code), error.errno);
        this.countUnreadable(error);
        this.report(0);
        continue;
      }
      this.unreadable = 0;
      this.report(parsed[i - first]?.size ?? 0);
    }
    return parsed;
  }

  /** Opens, reads, places and parses one message. Throws MessageFailed or Halted. */
  private move(i: number): Parsed {
    const uid = this.table.uids[i] ?? 0;
    this.mark = performance.now();
    const source = this.open(i, uid);
    try {
      const read = this.buffer.read(source);
      this.lap('read');
      const content = this.crlfForm(read);
      const sum = digest(content);
      this.lap('parse');
      const rewritten = content !== read;
      const method = this.placer.place({ uid, source, content, rewritten, digest: sum });
      this.methods[i] = method;
      this.bytes += content.length;
      this.lap('place');
      // Without an index to come, nobody asks for the structure.
      const { headerBytes, cache } = this.publishes() ? this.parser.parseMessage(content) : NOT_PARSED;
      this.lap('parse');
      return { size: content.length, headerBytes, digest: sum, cache };
    } finally {
      fs.closeSync(source.fd);
      this.lap('read');
    }
  }

  /** What passed since the last lap was spent on `step`. */
  private lap(step: keyof EngineTimes): void {
    const now = performance.now();
    this.times[step] += now - this.mark;
    this.mark = now;
  }

  private crlfForm(read: Uint8Array): Uint8Array {
    let content: Uint8Array | undefined;
    try {
      content = this.parser.crlfForm(read);
    } catch (error) {
      // Longer than an array of Node can be.
      if (!(error instanceof RangeError) || read.length < MESSAGE_LIMIT / 2) throw error;
    }
    if (content !== undefined && content.length < MESSAGE_LIMIT) return content;
    throw new MessageFailed('MSG_UNREADABLE', osConstants.errno.EFBIG);
  }

  /** Throws Halted when too many messages in a row cannot be read. */
  private countUnreadable({ code, errno }: MessageFailed): void {
    this.unreadable = code === 'MSG_UNREADABLE' && isDeviceError(errno) ? this.unreadable + 1 : 0;
    if (this.unreadable >= DEAD_SOURCE) throw new Halted(errno, 'read', 'source');
  }

  /** A 3.x name that is gone is no loss when an earlier attempt linked the very file. */
  private open(i: number, uid: number): Source {
    const { takeForeign, ownerUid } = this.input;
    try {
      return openSource(this.source, this.name(i), this.table, i, { ownerUid, takeForeign });
    } catch (error) {
      if (!(error instanceof MessageFailed && error.code === 'MSG_VANISHED' && this.input.resumed)) throw error;
      try {
        return this.placer.openEarlier(this.table, i, uid);
      } catch (earlier) {
        throw earlier instanceof MessageFailed ? error : earlier;
      }
    }
  }

  private indexSlice(first: number, parsed: readonly (Parsed | undefined)[]): void {
    const { uids, flags, internalDates, keywordOffsets, keywordRefs } = this.table;
    const { builder } = this.openIndex();
    this.mark = performance.now();
    onTarget(() => {
      parsed.forEach((message, k) => {
        if (message === undefined) return;
        const i = first + k;
        const facts = {
          uid: uids[i] ?? 0,
          flags: flags[i] ?? 0,
          internalDate: internalDates[i] ?? 0,
          size: message.size,
          headerBytes: message.headerBytes,
          digest: message.digest,
        };
        builder.add(facts, keywordRefs.subarray(keywordOffsets[i], keywordOffsets[i + 1]), message.cache);
      });
    });
    this.lap('index');
  }

  private openIndex(): IndexFile {
    const { uidvalidity, uidnext, keywords, admin } = this.input;
    const frame = { uidvalidity, uidnext, generation: 0, keywords, admin };
    this.index ??= onTarget(() => new IndexFile(this.target, frame, this.table.count));
    return this.index;
  }

  /** Names the index; null when failures forbid it. */
  private publish(): IndexSummary | null {
    if (!this.publishes()) return null;
    const index = this.openIndex();
    this.index = undefined;
    return onTarget(() => index.publish());
  }

  private dropIndex(): void {
    this.index?.abandon();
    this.index = undefined;
  }

  private fail(i: number, error: number, errno: number): void {
    this.errors[i] = error;
    this.errnos[i] = errno;
    this.failures++;
  }

  private report(bytes: number): void {
    const { progress } = this.input;
    settle();
    Atomics.add(progress, PROGRESS.messages, 1);
    this.unreported += bytes;
    if (this.unreported < 1024) return;
    addKilobytes(progress, Math.floor(this.unreported / 1024));
    this.unreported %= 1024;
  }

  /** What became of the message with a uid, for the sweep. */
  private claims(): (uid: number) => Claim {
    const { uids } = this.table;
    return (uid) => {
      const i = rowOfUid(uids, uid);
      if (i < 0) return 'unknown';
      return this.errors[i] === 0 ? 'claimed' : 'failed';
    };
  }

  private output(summary: IndexSummary | null, halt: EngineOutput['halt'], stopped: boolean): EngineOutput {
    const { methods, errors, errnos, bytes, times } = this;
    return { methods, errors, errnos, summary, bytes, halt, stopped, times };
  }
}

const NOT_PARSED = { headerBytes: 0, cache: new Uint8Array(0) };

/** The caller's descriptor as a held directory; it is never closed here. */
export function heldDir(fd: number): Dir {
  return { fd, path: `/proc/self/fd/${fd}` };
}

/**
 * `halt` of the output for what ended the folder; an error that is none of the file system's goes on. A
 * MessageFailed that comes here is one of the index or the sweep: without them the folder cannot be published.
 */
function haltOf(error: unknown): NonNullable<EngineOutput['halt']> {
  if (error instanceof Halted) return { errno: error.errno, call: error.call, side: error.side };
  if (error instanceof MessageFailed) return { errno: error.errno, call: 'store.idx', side: 'target' };
  throw error;
}
