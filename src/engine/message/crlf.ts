/**
 * The CRLF form of a message (3x-profile.md, "Message files"): every LF without a CR before it gets one; a lone CR, a
 * NUL and a last line without an end stay as they are.
 */
import { CR, LF, nextLf } from './bytes.js';

/** The CRLF form of `data`: the same array when it is in that form already. */
export function crlfForm(data: Uint8Array): Uint8Array {
  const bare = countBareLfs(data);
  if (bare === 0) return data;
  const out = new Uint8Array(data.length + bare);
  let copied = 0;
  let length = 0;
  for (let lf = nextLf(data, 0); lf < data.length; lf = nextLf(data, lf + 1)) {
    if (!isBare(data, lf)) continue;
    out.set(data.subarray(copied, lf), length);
    length += lf - copied;
    out[length++] = CR;
    copied = lf;
  }
  out.set(data.subarray(copied), length);
  return out;
}

function countBareLfs(data: Uint8Array): number {
  let count = 0;
  for (let lf = nextLf(data, 0); lf < data.length; lf = nextLf(data, lf + 1)) if (isBare(data, lf)) count++;
  return count;
}

function isBare(data: Uint8Array, lf: number): boolean {
  return data[lf] === LF && (lf === 0 || data[lf - 1] !== CR);
}
