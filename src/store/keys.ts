/**
 * Keys of names in the databases (docs/formats/mboxlist.md, Keys).
 *
 * A name that fits is its own key. A longer one (names may be tens of kilobytes) is cut, and its hash makes the key
 * its own: the value holds the full name. `FF` is no byte of a name, so the two kinds never meet.
 */
import { createHash } from 'node:crypto';

/** Bytes of a name up to which it is its own key. */
export const PLAIN_KEY_BYTES = 1800;

const CUT_MARK = Buffer.of(0xff);

/** The name's bytes, or its first 1,800, FF and the 32 bytes of its SHA-256. */
export function nameKey(name: string): Buffer {
  const bytes = Buffer.from(name);
  if (bytes.length <= PLAIN_KEY_BYTES) return bytes;
  return Buffer.concat([bytes.subarray(0, PLAIN_KEY_BYTES), CUT_MARK, createHash('sha256').update(bytes).digest()]);
}

/** The bytes with which the key of every name that begins with `prefix` begins. */
export function prefixKey(prefix: string): Buffer {
  return Buffer.from(prefix).subarray(0, PLAIN_KEY_BYTES);
}
