/**
 * What may differ between two runs of `-s`: the uidvalidity of a folder whose header was lost, which `-s` takes from
 * its clock. In an index it stands at byte 24, and the header's check at byte 248 covers it; all other bytes are
 * compared (docs/formats/store-idx.md, "Header").
 */
import { createHash } from 'node:crypto';

/** The generator's uidvalidities are of the nineties; later ones were chosen by `-s`. */
const CLOCK_FROM = 1_500_000_000;
const HEADER_BYTES = 256;
const UIDVALIDITY_AT = 24;
const CHECK_AT = 248;

/** SHA-256 of a file of the 4.x store, without what the clock chose. */
export function digestWithoutClock(name: string, content: Buffer): string {
  const isIndex = name.endsWith('store.idx') && content.length >= HEADER_BYTES;
  if (!isIndex || content.readUInt32LE(UIDVALIDITY_AT) < CLOCK_FROM) return sha256(content);
  const masked = Buffer.from(content);
  masked.fill(0, UIDVALIDITY_AT, UIDVALIDITY_AT + 4).fill(0, CHECK_AT, CHECK_AT + 8);
  return `clock-${sha256(masked)}`;
}

/** The same in a database entry or a listing, as JSON. */
export function textWithoutClock(json: string): string {
  return json.replace(/"uidvalidity":(\d+)/g, (text, digits) =>
    Number(digits) >= CLOCK_FROM ? '"uidvalidity":clock' : text,
  );
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
