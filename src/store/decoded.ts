/**
 * Records by the bytes that they were decoded from: a run reads the entry of a folder at every step, and of a user for
 * every folder, and nearly always finds what it found before.
 *
 * The bytes are read from the database each time, so what another process has written is seen as ever; only where they
 * are the same is the same record handed out again. Nobody changes a record that a database gave.
 */

import type { Table } from './tables.js';

/** Those of the folders that a run has under way, and some more. */
const KEPT = 2_048;

export class DecodedValues<K, T> {
  private readonly known = new Map<K, { readonly bytes: Buffer; readonly record: T }>();

  /** @param limit records that are kept; the oldest goes first */
  constructor(
    private readonly decode: (bytes: Buffer, key: K) => T,
    private readonly limit = KEPT,
  ) {}

  /** The record of what `table` has now; undefined where that is nothing. */
  read(table: Pick<Table, 'get' | 'holds'>, tableKey: Uint8Array, key: K): T | undefined {
    const known = this.known.get(key);
    if (known !== undefined && table.holds(tableKey, known.bytes)) return known.record;
    const bytes = table.get(tableKey);
    if (bytes === undefined) return undefined;
    const record = this.decode(bytes, key);
    this.keep(key, bytes, record);
    return record;
  }

  /** `bytes` are those of `record`: it need not be decoded when they are found in the database. */
  keep(key: K, bytes: Buffer, record: T): void {
    this.known.delete(key);
    if (this.known.size >= this.limit) this.known.delete(this.known.keys().next().value as K);
    this.known.set(key, { bytes: alone(bytes), record });
  }
}

/** In memory of its own: one value of a few hundred bytes would keep the 8 KB that it was made in, with others. */
function alone(bytes: Buffer): Buffer {
  if (bytes.buffer.byteLength === bytes.length) return bytes;
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
