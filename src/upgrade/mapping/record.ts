/**
 * Codec of the migration record (docs/formats/upfolder.md, "record"): what a folder's 3.x messages are and which
 * uid each was given, fixed durably before the first message is linked (4x-store.md, "The migration record").
 *
 * A record is cut into chunks of 4,096 messages, so that a folder of a million is not one value of 60 MB. Chunk
 * (all numbers little-endian):
 *
 *     0   "MHRC"            4  u32 version 1       8  u32 chunk number     12 u32 chunks of the record
 *     16  u32 uidvalidity   20 u32 uidnext         24 u32 messages of the record   28 u32 messages here, n
 *     32  u64 inode × n, u64 size × n, i64 mtime × n, u32 uid × n, u32 end of name × n, name bytes
 *     …   u32 CRC-32 of everything before
 */
import { crc32 } from 'node:zlib';
import { MailhaulError } from '../../errors.js';
import { HIGH, LOW } from '../plan-order.js';
import type { MigrationRecord } from '../types.js';

/** Messages a chunk holds; only the last holds fewer. */
export const CHUNK_MESSAGES = 4096;

const MAGIC = 0x4352484d; // "MHRC"
const VERSION = 1;
const HEADER_BYTES = 32;
/** Bytes a message takes beside its name. */
const MESSAGE_BYTES = 8 + 8 + 8 + 4 + 4;
const CHECK_BYTES = 4;

/** Chunks of a record, at least one: an empty folder has a record too. */
export function chunksOf({ count }: MigrationRecord): number {
  return Math.max(1, Math.ceil(count / CHUNK_MESSAGES));
}

/**
 * Every chunk is made here. Memory of its own for each was some 40 bytes a message, which V8 collects when it is some
 * 64 MB: the memory of a run grew with its store.
 */
let memory = new ArrayBuffer(0);

/** A chunk of a record, number 0 and up. It is valid until the next call, which uses its memory. */
export function encodeChunk(record: MigrationRecord, number: number): Buffer {
  const from = number * CHUNK_MESSAGES;
  const n = Math.min(record.count - from, CHUNK_MESSAGES);
  const to = from + n;
  const namesFrom = record.nameOffsets[from]!;
  const names = record.names.subarray(namesFrom, record.nameOffsets[to]!);
  const at = columns(n);
  const bytes = at.names + names.length + CHECK_BYTES;
  if (memory.byteLength < bytes) memory = new ArrayBuffer(bytes);
  const out = Buffer.from(memory, 0, bytes);
  const header = [MAGIC, VERSION, number, chunksOf(record), record.uidvalidity, record.uidnext, record.count, n];
  header.forEach((value, i) => void out.writeUInt32LE(value, i * 4));
  // A column at a time: a number at a time through a Buffer, and 64 bits as a BigInt, took the main thread 2 µs a message.
  new BigUint64Array(memory, at.inodes, n).set(record.inodes.subarray(from, to));
  writeSizes(new Uint32Array(memory, at.sizes, 2 * n), record.sizes, from);
  new BigInt64Array(memory, at.mtimes, n).set(record.mtimes.subarray(from, to));
  new Uint32Array(memory, at.uids, n).set(record.uids.subarray(from, to));
  const nameEnds = new Uint32Array(memory, at.nameEnds, n);
  for (let i = 0; i < n; i++) nameEnds[i] = record.nameOffsets[from + i + 1]! - namesFrom;
  if (LOW !== 0) {
    out.subarray(at.inodes, at.uids).swap64();
    out.subarray(at.uids, at.names).swap32();
  }
  out.set(names, at.names);
  out.writeUInt32LE(crc32(out.subarray(0, -CHECK_BYTES)), bytes - CHECK_BYTES);
  return out;
}

/** Numbers below 2^53 as the halves of u64, in this machine's order. */
function writeSizes(halves: Uint32Array, sizes: Float64Array, from: number): void {
  for (let i = 0; 2 * i < halves.length; i++) {
    const size = sizes[from + i]!;
    halves[2 * i + LOW] = size;
    halves[2 * i + HIGH] = size / 2 ** 32;
  }
}

/** Offsets of the columns of a chunk with n messages. */
function columns(n: number) {
  const inodes = HEADER_BYTES;
  const sizes = inodes + n * 8;
  const mtimes = sizes + n * 8;
  const uids = mtimes + n * 8;
  const nameEnds = uids + n * 4;
  return { inodes, sizes, mtimes, uids, nameEnds, names: nameEnds + n * 4 };
}

interface ChunkHeader {
  readonly number: number;
  readonly chunks: number;
  readonly uidvalidity: number;
  readonly uidnext: number;
  readonly count: number;
  readonly n: number;
  readonly nameBytes: number;
}

/**
 * The record whose chunks these are, in order. `where` names it. Errors: RECORD_VERSION, RECORD_DAMAGED; memory
 * is bounded by the bytes that are really there.
 */
export function decodeRecord(chunks: readonly Uint8Array[], where: string): MigrationRecord {
  const buffers = chunks.map((chunk) => Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
  const headers = buffers.map((chunk, number) => readHeader(chunk, number, where));
  const [first] = headers;
  if (first === undefined) throw damaged(where, 'it has no chunks');
  const total = headers.reduce((sum, header) => sum + header.n, 0);
  const agree = headers.every(
    (header) =>
      header.chunks === buffers.length &&
      header.count === total &&
      header.uidvalidity === first.uidvalidity &&
      header.uidnext === first.uidnext,
  );
  if (!agree) throw damaged(where, 'its chunks do not belong together, or some are missing');
  const nameBytes = headers.reduce((sum, header) => sum + header.nameBytes, 0);
  const record = {
    uidvalidity: first.uidvalidity,
    uidnext: first.uidnext,
    count: total,
    uids: new Uint32Array(total),
    names: new Uint8Array(nameBytes),
    nameOffsets: new Uint32Array(total + 1),
    inodes: new BigUint64Array(total),
    sizes: new Float64Array(total),
    mtimes: new BigInt64Array(total),
  };
  let from = 0;
  buffers.forEach((chunk, number) => {
    readColumns(chunk, headers[number]!, record, from, where);
    from += headers[number]!.n;
  });
  return record;
}

function readHeader(chunk: Buffer, number: number, where: string): ChunkHeader {
  if (chunk.length < HEADER_BYTES + CHECK_BYTES || chunk.readUInt32LE(0) !== MAGIC) throw damaged(where, 'it is cut');
  if (chunk.readUInt32LE(chunk.length - CHECK_BYTES) !== crc32(chunk.subarray(0, -CHECK_BYTES))) {
    throw damaged(where, `the check of chunk ${number} fails`);
  }
  const version = chunk.readUInt32LE(4);
  if (version !== VERSION) {
    throw new MailhaulError('RECORD_VERSION', `A migration record has version ${version}, not ${VERSION}.`, {
      where,
      hint: 'It was written by another version of this program: use that one.',
    });
  }
  const n = chunk.readUInt32LE(28);
  const nameBytes = chunk.length - HEADER_BYTES - n * MESSAGE_BYTES - CHECK_BYTES;
  const header = {
    number: chunk.readUInt32LE(8),
    chunks: chunk.readUInt32LE(12),
    uidvalidity: chunk.readUInt32LE(16),
    uidnext: chunk.readUInt32LE(20),
    count: chunk.readUInt32LE(24),
    n,
    nameBytes,
  };
  if (header.number !== number || n > CHUNK_MESSAGES || nameBytes < 0)
    throw damaged(where, 'its numbers are impossible');
  return header;
}

interface Columns {
  readonly uids: Uint32Array;
  readonly names: Uint8Array;
  readonly nameOffsets: Uint32Array;
  readonly inodes: BigUint64Array;
  readonly sizes: Float64Array;
  readonly mtimes: BigInt64Array;
}

function readColumns(chunk: Buffer, header: ChunkHeader, into: Columns, from: number, where: string): void {
  const at = columns(header.n);
  const namesFrom = into.nameOffsets[from]!;
  let nameEnd = 0;
  for (let i = 0; i < header.n; i++) {
    into.inodes[from + i] = chunk.readBigUInt64LE(at.inodes + i * 8);
    into.sizes[from + i] = Number(chunk.readBigUInt64LE(at.sizes + i * 8));
    into.mtimes[from + i] = chunk.readBigInt64LE(at.mtimes + i * 8);
    into.uids[from + i] = chunk.readUInt32LE(at.uids + i * 4);
    const end = chunk.readUInt32LE(at.nameEnds + i * 4);
    if (end < nameEnd || end > header.nameBytes) throw damaged(where, 'its name table is impossible');
    nameEnd = end;
    into.nameOffsets[from + i + 1] = namesFrom + end;
  }
  if (nameEnd !== header.nameBytes) throw damaged(where, 'its name table is impossible');
  into.names.set(chunk.subarray(at.names, at.names + header.nameBytes), namesFrom);
  for (let i = from; i < from + header.n; i++) checkMessage(into, i, where);
}

/** What no message of a record has: the check of a chunk finds accidents, this what somebody made up. */
function checkMessage({ uids, names, nameOffsets, sizes }: Columns, i: number, where: string): void {
  const name = names.subarray(nameOffsets[i], nameOffsets[i + 1]);
  if (name.length === 0 || name[0] === 0x2e || name.includes(0x2f) || name.includes(0)) {
    throw damaged(where, 'a file name in it is none of a message');
  }
  if (uids[i]! <= (i === 0 ? 0 : uids[i - 1]!)) throw damaged(where, 'its uids do not ascend');
  if (!Number.isSafeInteger(sizes[i])) throw damaged(where, 'a size in it is none of a file');
}

function damaged(where: string, what: string): MailhaulError {
  return new MailhaulError('RECORD_DAMAGED', `A migration record is damaged: ${what}.`, {
    where,
    hint: 'Restore the mapping database from a backup: it says which 4.x message is which 3.x file.',
  });
}
