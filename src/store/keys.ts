/**
 * Keys of names and of ids in the databases (docs/formats/mboxlist.md, Keys).
 *
 * A name that fits is its own key. A longer one (names may be tens of kilobytes) is cut, and its hash makes the key
 * its own: the value holds the full name. `FF` is no byte of a name, so the two kinds never meet.
 */
import { createHash } from 'node:crypto';

/** Bytes of a name up to which it is its own key. */
const PLAIN_KEY_BYTES = 1800;

const CUT_MARK = Buffer.of(0xff);

/** The name's bytes, or its first 1,800, FF and the 32 bytes of its SHA-256. */
export function nameKey(name: string): Buffer {
  const bytes = Buffer.from(name);
  if (bytes.length <= PLAIN_KEY_BYTES) return bytes;
  return Buffer.concat([bytes.subarray(0, PLAIN_KEY_BYTES), CUT_MARK, createHash('sha256').update(bytes).digest()]);
}

/** The name of a key, for messages; of one that was cut its beginning. */
export function shownKey(key: Buffer): string {
  const cut = key.indexOf(CUT_MARK);
  return cut < 0 ? key.toString() : `${key.toString('utf8', 0, cut)}…`;
}

/** The bytes with which the key of every name that begins with `prefix` begins. */
export function prefixKey(prefix: string): Buffer {
  return Buffer.from(prefix).subarray(0, PLAIN_KEY_BYTES);
}

export const ID_BYTES = 8;

/** Ids as 8 big-endian bytes: the order of keys is the order of ids. */
export function idKey(id: number): Buffer {
  return writeId(Buffer.allocUnsafe(ID_BYTES), id, 0);
}

/** Puts the key of an id into a longer one; returns that. */
export function writeId(key: Buffer, id: number, at: number): Buffer {
  key.writeUInt32BE(Math.floor(id / 2 ** 32), at);
  key.writeUInt32BE(id % 2 ** 32, at + 4);
  return key;
}

/** The id whose key begins at `at`. */
export function readId(key: Buffer, at: number): number {
  return key.readUInt32BE(at) * 2 ** 32 + key.readUInt32BE(at + 4);
}
