/**
 * Values of the databases: one byte 02 (the version), CRC-32 of the rest, UTF-8 JSON (docs/formats/mboxlist.md, Values).
 *
 * LMDB checks nothing that it reads. A flipped bit in a path is still a path: acted upon, it would migrate another
 * folder, or look for originals where none are. Values of version 01 have no check; they are read, and never written.
 *
 * Reading trusts nothing: what is not the expected shape is DB_VALUE with its key, never a crash or a wrong type.
 * The readers below are the few shapes that records are made of.
 */
import { crc32 } from 'node:zlib';
import { MailhaulError, messageOf } from '../errors.js';

const VERSION = 2;
const WITHOUT_CHECK = 1;
/** Version and check. */
const HEAD_BYTES = 5;

export function encodeValue(value: unknown): Buffer {
  const json = JSON.stringify(value);
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + Buffer.byteLength(json));
  bytes.writeUInt8(VERSION);
  bytes.write(json, HEAD_BYTES);
  bytes.writeUInt32LE(crc32(bytes.subarray(HEAD_BYTES)), 1);
  return bytes;
}

/** Reads a value and its shape. `where` names database and key. Errors: DB_VERSION, DB_VALUE. */
export function decodeValue<T>(bytes: Uint8Array, where: string, shape: (value: unknown) => T): T {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length > 0 && buffer[0] !== VERSION && buffer[0] !== WITHOUT_CHECK) {
    throw new MailhaulError('DB_VERSION', `A value has version ${buffer[0]}, this program knows version ${VERSION}.`, {
      where,
      hint: 'It was written by a newer program, or it is damaged.',
    });
  }
  try {
    return shape(JSON.parse(checkedJson(buffer).toString('utf8')));
  } catch (error) {
    throw new MailhaulError('DB_VALUE', `A value is damaged: ${messageOf(error)}.`, {
      where,
      hint: 'Restore the database from a backup; `upgrade --verify` lists what else disagrees.',
      cause: error,
    });
  }
}

function checkedJson(buffer: Buffer): Buffer {
  if (buffer[0] !== VERSION) return buffer.subarray(1);
  const json = buffer.subarray(HEAD_BYTES);
  if (buffer.length < HEAD_BYTES || buffer.readUInt32LE(1) !== crc32(json)) throw new TypeError('its check fails');
  return json;
}

function wrong(field: string): never {
  throw new TypeError(`${field} is missing or of the wrong type`);
}

export type Fields = Readonly<Record<string, unknown>>;

export function asFields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : wrong('the record');
}

export function textField(fields: Fields, field: string): string {
  const value = fields[field];
  return typeof value === 'string' ? value : wrong(field);
}

export function flagField(fields: Fields, field: string): boolean {
  const value = fields[field];
  return typeof value === 'boolean' ? value : wrong(field);
}

/** A whole number from 0 to `limit`. */
export function countField(fields: Fields, field: string, limit = Number.MAX_SAFE_INTEGER): number {
  const value = fields[field];
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= limit
    ? (value as number)
    : wrong(field);
}

/** Seconds since 1970: a whole number of either sign. */
export function secondsField(fields: Fields, field: string): number {
  const value = fields[field];
  return Number.isSafeInteger(value) ? (value as number) : wrong(field);
}

export function arrayField(fields: Fields, field: string): readonly unknown[] {
  const value = fields[field];
  return Array.isArray(value) ? (value as unknown[]) : wrong(field);
}

/** `read` unless the field is null. */
export function orNull<T>(fields: Fields, field: string, read: (fields: Fields, field: string) => T): T | null {
  return fields[field] === null ? null : read(fields, field);
}

export function textArray(value: unknown): string[] {
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) wrong('the list');
  return value as string[];
}
