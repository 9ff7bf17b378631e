/** Values of the databases: migration records and JSON values. */
import { crc32 } from 'node:zlib';
import { decodeMailbox, decodeQuota, encodeMailbox, encodeQuota } from '../../../../src/store/records.js';
import { decodeRecord } from '../../../../src/upgrade/mapping/record.js';
import {
  decodeFailures,
  decodeFolder,
  decodeMeta,
  decodeUser,
  encodeFailures,
  encodeFolder,
  encodeMeta,
  encodeUser,
} from '../../../../src/upgrade/mapping/values.js';
import type { MigrationRecord } from '../../../../src/upgrade/types.js';
import { encodeRecord } from '../../../support/record-chunks.js';
import { type FuzzTarget, promise, sure } from '../types.js';
import { sameShape } from './scratch.js';

function sampleRecord(names: readonly string[]): MigrationRecord {
  const nameOffsets = new Uint32Array(names.length + 1);
  names.forEach((name, i) => {
    nameOffsets[i + 1] = nameOffsets[i]! + name.length;
  });
  return {
    uidvalidity: 7,
    uidnext: names.length + 1,
    count: names.length,
    uids: Uint32Array.from(names, (_, i) => i + 1),
    names: new Uint8Array(Buffer.from(names.join(''), 'latin1')),
    nameOffsets,
    inodes: BigUint64Array.from(names, (_, i) => BigInt(1000 + i)),
    sizes: Float64Array.from(names, (_, i) => 10 * i),
    mtimes: BigInt64Array.from(names, () => 900_000_000n * 1_000_000_000n),
  };
}

/** Chunks as one input: u32 length, bytes. */
function packed(chunks: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(
    Buffer.concat(
      chunks.flatMap((chunk) => {
        const length = Buffer.alloc(4);
        length.writeUInt32LE(chunk.length);
        return [length, chunk];
      }),
    ),
  );
}

function unpacked(input: Uint8Array): Buffer[] {
  const data = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  const chunks: Buffer[] = [];
  for (let at = 0; at + 4 <= data.length; ) {
    const end = Math.min(at + 4 + data.readUInt32LE(at), data.length);
    chunks.push(data.subarray(at + 4, end));
    at = end;
  }
  return chunks;
}

function record(): FuzzTarget {
  return {
    name: 'record',
    binary: true,
    maxBytes: 8192,
    seeds: () => [
      packed(encodeRecord(sampleRecord([]))),
      packed(encodeRecord(sampleRecord(['a', 'message.2', '\xe9\xff']))),
      packed([...encodeRecord(sampleRecord(['a'])), ...encodeRecord(sampleRecord(['b', 'c']))]),
    ],
    repair(input) {
      const bytes = new Uint8Array(input);
      for (const chunk of unpacked(bytes)) {
        if (chunk.length >= 4) chunk.writeUInt32LE(crc32(chunk.subarray(0, -4)), chunk.length - 4);
      }
      return bytes;
    },
    run(bytes) {
      const decoded = decodeRecord(unpacked(bytes), 'folder 1');
      for (let i = 0; i < decoded.count; i++) {
        const name = decoded.names.subarray(decoded.nameOffsets[i], decoded.nameOffsets[i + 1]);
        promise(name.length > 0 && !name.includes(0x2f) && !name.includes(0), 'a name is one component');
        promise(Number.isSafeInteger(decoded.sizes[i]), 'a size is a whole number');
        promise(i === 0 || decoded.uids[i]! > decoded.uids[i - 1]!, 'uids ascend');
      }
      const again = sure('a record can be written again', () => decodeRecord(encodeRecord(decoded), 'again'));
      promise(sameShape(again, decoded), 'a record can be written again');
    },
  };
}

type Codec = (bytes: Uint8Array) => { readonly value: unknown; readonly again: unknown };

/** Decodes, encodes, decodes. */
function codec<T>(decode: (bytes: Uint8Array, where: string) => T, encode: (value: T) => Uint8Array): Codec {
  return (bytes) => {
    const value = decode(bytes, 'key');
    return { value, again: sure('a value can be written again', () => decode(encode(value), 'key')) };
  };
}

const CODECS: readonly Codec[] = [
  codec(decodeMailbox, encodeMailbox),
  codec(decodeQuota, encodeQuota),
  codec(decodeMeta, encodeMeta),
  codec(decodeUser, encodeUser),
  codec(decodeFolder, encodeFolder),
  codec(decodeFailures, encodeFailures),
];

const SUMMARY = { messages: 1, bytes: 2, lastAppend: -3, seen: 1, answered: 0, flagged: 0, deleted: 0, draft: 0 };
const VALUES: readonly Uint8Array[] = [
  encodeMailbox({
    name: 'user/anna/INBOX',
    owner: 'anna',
    legacyName: 'INBOX',
    partition: 'primary',
    acl: [{ identifier: 'anna', rights: 'lrs' }],
    uidvalidity: 1,
    uidnext: 2,
    state: 'NON-TRANSITION',
    summary: SUMMARY,
    mappingId: 1,
    root: '/m',
  }),
  encodeQuota({ limit: null, usedBytes: 1, usedMessages: 2 }),
  encodeMeta({
    hostName: 'h.x',
    from: '/f',
    mailboxDirectory: '/m',
    serverUser: 'mailsrv',
    serverGroup: 'nobody',
    finished: 1,
  }),
  encodeUser({ uid: 'anna', storePath: '/m', partition: 'primary', quota: 5 }),
  encodeFolder({
    id: 1,
    uid: 'anna',
    path: [Uint8Array.of(0xe9, 0x41)],
    mailbox: 'user/anna/A',
    legacyName: 'A',
    isInbox: false,
    missing: false,
    inode: '12',
    indexBytes: 10,
    uidvalidity: 3,
    uidvalidityChosen: true,
    partition: 'primary',
    root: null,
    attempts: 0,
    migrated: false,
    sourcesRemoved: false,
  }),
  encodeFailures([{ uid: 1, file: 'a', code: 'MSG_CHANGED', message: 'b' }]),
];

/** With a check that fits, or the shapes behind it would never be tried. */
function sealed(value: Uint8Array): Uint8Array {
  if (value[0] !== 2 || value.length < 5) return value;
  const copy = Buffer.from(value);
  copy.writeUInt32LE(crc32(copy.subarray(5)), 1);
  return new Uint8Array(copy);
}

function values(): FuzzTarget {
  return {
    name: 'values',
    maxBytes: 4096,
    tokens: ['null', 'true', 'false', '[]', '{}', '"__proto__":', '\\u0000', '\\ud800', '1e400', '[[[[[[', ',"', '":'],
    // The first byte says which codec reads the rest.
    seeds: () => VALUES.map((value, i) => new Uint8Array(Buffer.concat([Buffer.of(i), value]))),
    run(bytes) {
      if (bytes.length === 0) return;
      const { value, again } = CODECS[bytes[0]! % CODECS.length]!(sealed(bytes.subarray(1)));
      promise(sameShape(value, again), 'a value can be written again');
    },
  };
}

export const targets = [record, values];
