/** What the addon says of a folder, from arrays that it fills: objects that it made itself took longer than the messages. */
import { type EngineOutput, OUTPUT_BYTES } from '../types.js';

/** Filled by one call, read before the next. */
const numbers = new Float64Array(15);

export function outputOf(
  count: number,
  room: Uint8Array | undefined,
  migrate: (columns: Uint8Array, numbers: Float64Array) => EngineOutput['halt'],
): EngineOutput {
  // One buffer for all columns, as each is copied when it goes to another thread.
  const columns = room ?? new Uint8Array(OUTPUT_BYTES * count);
  const halt = migrate(columns, numbers);
  const { buffer, byteOffset } = columns;
  return {
    methods: new Uint8Array(buffer, byteOffset + 4 * count, count),
    errors: new Uint8Array(buffer, byteOffset + 5 * count, count),
    errnos: new Int32Array(buffer, byteOffset, count),
    summary: numbers[0] === 0 ? null : summaryOf(),
    bytes: numbers[9]!,
    halt,
    stopped: numbers[10] !== 0,
    times: { read: numbers[11]!, parse: numbers[12]!, place: numbers[13]!, index: numbers[14]! },
  };
}

function summaryOf(): NonNullable<EngineOutput['summary']> {
  return {
    messages: numbers[1]!,
    bytes: numbers[2]!,
    lastAppend: numbers[3]!,
    seen: numbers[4]!,
    answered: numbers[5]!,
    flagged: numbers[6]!,
    deleted: numbers[7]!,
    draft: numbers[8]!,
  };
}
