/**
 * `--sample`: which messages are read. The choice is a function of the folder's id in the mapping, the uid and a seed,
 * never of the content, so that a run can be repeated, and another seed reads others. Everything that can be seen
 * without reading a message is checked for all of them.
 */

export interface Sample {
  /** A message is read when its hash is below; 2^32 for all. */
  readonly below: number;
  /** 32 bits made of `--sample-seed`. */
  readonly seed: number;
}

export function makeSample(percent: number, seed: string): Sample {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(seed)) hash = Math.imul(hash ^ byte, 0x01000193);
  return { below: percent >= 100 ? 2 ** 32 : Math.ceil((percent / 100) * 2 ** 32), seed: hash >>> 0 };
}

export function isSampled(sample: Sample, folderId: number, uid: number): boolean {
  if (sample.below >= 2 ** 32) return true;
  return mix(mix(uid ^ sample.seed) ^ Math.imul(folderId, 0x9e3779b1)) < sample.below;
}

/** The finalizer of MurmurHash3: every bit of the input counts for every bit of the result. */
function mix(value: number): number {
  let bits = value | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/** The probability that none of `damaged` damaged messages was among those read. */
export function chanceOfMissing(share: number, damaged: number): number {
  return (1 - share) ** damaged;
}
