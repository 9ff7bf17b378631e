/** The chunks of a migration record side by side: `encodeChunk` makes each in the memory of the one before. */
import { chunksOf, encodeChunk } from '../../src/upgrade/mapping/record.js';
import type { MigrationRecord } from '../../src/upgrade/types.js';

export function encodeRecord(record: MigrationRecord): Buffer[] {
  return Array.from({ length: chunksOf(record) }, (_, number) => Buffer.from(encodeChunk(record, number)));
}
