/** Changes of inputs: bits, bytes, pieces, tokens, numbers that are lengths, lines, splices. */
import type { Chance } from './random.js';

/** Values at which lengths and offsets go wrong. */
const NUMBERS: readonly bigint[] = [
  0n,
  1n,
  2n,
  3n,
  7n,
  8n,
  15n,
  16n,
  127n,
  128n,
  255n,
  256n,
  4095n,
  4096n,
  32767n,
  65535n,
  65536n,
  0x7fffffffn,
  0x80000000n,
  0xfffffffen,
  0xffffffffn,
  0x100000000n,
  0x1fffffffffffffn,
  0x20000000000000n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0xffffffffffffffffn,
];

const TEXT_NUMBERS = [
  '0',
  '1',
  '-1',
  '00',
  '4294967295',
  '4294967296',
  '9007199254740993',
  '1e9',
  '99999999999999999999',
];
const BYTES = [
  0x00, 0x01, 0x09, 0x0a, 0x0d, 0x20, 0x22, 0x2e, 0x2f, 0x30, 0x3a, 0x3d, 0x5c, 0x7c, 0x7f, 0x80, 0xc3, 0xff,
];

export interface Pool {
  readonly corpus: readonly Uint8Array[];
  readonly tokens: readonly Uint8Array[];
  readonly maxBytes: number;
  /** Everything has its offset: most changes leave the length alone, or nothing would fit any more. */
  readonly binary: boolean;
}

/** A new input made of `base` by one to eight changes. */
export function mutate(chance: Chance, base: Uint8Array, pool: Pool): Uint8Array {
  let data: Buffer = Buffer.from(base);
  for (let changes = 1 << chance.below(4); changes > 0; changes--) data = change(chance, data, pool);
  return new Uint8Array(data.subarray(0, pool.maxBytes));
}

/** Of the changes below, those that keep the length. */
const IN_PLACE = [0, 1, 6, 6];

function change(chance: Chance, data: Buffer, pool: Pool): Buffer {
  const at = chance.below(data.length + 1);
  const length = Math.min(1 + chance.below(chance.pick([1, 4, 16, 64, 1024])), data.length - at);
  switch (pool.binary && !chance.once(8) ? chance.pick(IN_PLACE) : chance.below(13)) {
    case 0:
      if (data.length > 0) data[at % data.length]! ^= 1 << chance.below(8);
      return data;
    case 1:
      if (data.length > 0) data[at % data.length] = chance.once(2) ? chance.pick(BYTES) : chance.below(256);
      return data;
    case 2:
      return joined(data.subarray(0, at), data.subarray(at + length));
    case 3:
      return repeated(chance, data, at, length);
    case 4:
    case 5:
      return joined(data.subarray(0, at), token(chance, pool), data.subarray(at + (chance.once(2) ? length : 0)));
    case 6:
    case 7:
      return withNumber(chance, data, at);
    case 8:
      return joined(data.subarray(0, at), Buffer.from(chance.pick(TEXT_NUMBERS)), data.subarray(at + length));
    case 9: {
      const other = chance.pick(pool.corpus);
      const from = chance.below(other.length + 1);
      return joined(data.subarray(0, at), other.subarray(from, from + 1 + chance.below(200)), data.subarray(at));
    }
    case 10: {
      const other = chance.pick(pool.corpus);
      return joined(data.subarray(0, at), other.subarray(chance.below(other.length + 1)));
    }
    case 11:
      return withLines(chance, data, pool);
    default:
      return joined(data.subarray(0, at), Buffer.of(chance.pick(BYTES)), data.subarray(at));
  }
}

function joined(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(parts);
}

function token(chance: Chance, pool: Pool): Uint8Array {
  return pool.tokens.length === 0 ? Buffer.of(chance.below(256)) : chance.pick(pool.tokens);
}

/** A piece once more, or very often. */
function repeated(chance: Chance, data: Buffer, at: number, length: number): Buffer {
  const piece = data.subarray(at, at + length);
  const times = chance.once(8) ? 1 + chance.below(500) : 1;
  return joined(data.subarray(0, at), ...Array.from({ length: times }, () => piece), data.subarray(at));
}

/** A whole number of 1, 2, 4 or 8 bytes set to one at which things go wrong, or moved a little. */
function withNumber(chance: Chance, data: Buffer, at: number): Buffer {
  const bytes = chance.pick([1, 2, 4, 4, 8, 8]);
  if (data.length < bytes) return data;
  const aligned = chance.once(3) ? at : at - (at % bytes);
  const start = Math.min(aligned, data.length - bytes);
  const bits = 8 * bytes;
  let value = 0n;
  for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(data[start + i]!);
  switch (chance.below(4)) {
    case 0:
      value += BigInt(chance.below(33)) - 16n;
      break;
    case 1:
      value = BigInt(data.length) + BigInt(chance.below(17)) - 8n;
      break;
    case 2:
      value = chance.pick(NUMBERS);
      break;
    default:
      value = BigInt(data.length - start) * BigInt(1 + chance.below(3)) - BigInt(chance.below(3));
  }
  value = BigInt.asUintN(bits, value);
  const big = chance.once(4);
  for (let i = 0; i < bytes; i++) {
    data[big ? start + bytes - 1 - i : start + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  }
  return data;
}

/** A line removed, repeated, moved, or taken from another input. */
function withLines(chance: Chance, data: Buffer, pool: Pool): Buffer {
  const start = lineStart(data, chance.below(data.length + 1));
  const end = lineEnd(data, start);
  const line = data.subarray(start, end);
  const elsewhere = lineStart(data, chance.below(data.length + 1));
  switch (chance.below(4)) {
    case 0:
      return joined(data.subarray(0, start), data.subarray(end));
    case 1:
      return joined(data.subarray(0, elsewhere), line, data.subarray(elsewhere));
    case 2:
      return joined(data.subarray(0, start), Buffer.from(line).reverse(), data.subarray(end));
    default: {
      const other = Buffer.from(chance.pick(pool.corpus));
      const from = lineStart(other, chance.below(other.length + 1));
      return joined(data.subarray(0, elsewhere), other.subarray(from, lineEnd(other, from)), data.subarray(elsewhere));
    }
  }
}

function lineStart(data: Buffer, at: number): number {
  return at === 0 ? 0 : data.lastIndexOf(0x0a, at - 1) + 1;
}

function lineEnd(data: Buffer, from: number): number {
  const end = data.indexOf(0x0a, from);
  return end < 0 ? data.length : end + 1;
}
