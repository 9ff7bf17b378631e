/**
 * Limits of a run as people write and read them: `--bwlimit 20M`, `--iops 500`, `--nice`. K, M and G are powers of 1024,
 * as in rsync; KB, MB and GB are powers of 1000. A number alone is bytes.
 */

/** In force. */
export interface RunLimits {
  /** Bytes a second, 0 no limit. */
  readonly bwlimit: number;
  /** Operations a second, 0 no limit. */
  readonly iops: number;
  /** Behind all other processes: niceness 19, I/O class idle. */
  readonly nice: boolean;
}

/** What is not named stays as it is. */
export type LimitsChange = Partial<RunLimits>;

export const NO_LIMITS: RunLimits = { bwlimit: 0, iops: 0, nice: false };

const UNITS = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, kb: 1e3, mb: 1e6, gb: 1e9 } as const;
/** A petabyte a second is no limit. */
const RATE_AT_MOST = 1e15;
const IOPS_AT_MOST = 1e9;

/** Bytes a second; undefined for what is no rate. */
export function parseRate(text: string): number | undefined {
  const match = /^(\d{1,16}(?:\.\d{1,6})?)(k|m|g|kb|mb|gb|)$/i.exec(text);
  if (match === null) return undefined;
  const unit = match[2]!.toLowerCase() as keyof typeof UNITS;
  const rate = Math.round(Number(match[1]) * UNITS[unit]);
  // A rate so small that it is rounded away must not become none.
  if (rate === 0 && Number(match[1]) > 0) return 1;
  return rate <= RATE_AT_MOST ? rate : undefined;
}

/** Operations a second; undefined for what is no number of them. */
export function parseIops(text: string): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined;
  return Number(text) <= IOPS_AT_MOST ? Number(text) : undefined;
}

/** `20M/s`, as one would write it. */
export function rateText(rate: number): string {
  for (const unit of ['g', 'm', 'k'] as const) {
    if (rate >= UNITS[unit]) return `${shortened(rate / UNITS[unit])}${unit.toUpperCase()}/s`;
  }
  return `${rate} bytes/s`;
}

function shortened(value: number): string {
  return value.toFixed(1).replace(/\.0$/, '');
}

/** What is in force, such as `limit 20M/s, 500 operations/s, nice`; empty when nothing is. */
export function limitsText({ bwlimit, iops, nice }: RunLimits): string {
  const limits = [
    ...(bwlimit > 0 ? [rateText(bwlimit)] : []),
    ...(iops > 0 ? [`${iops} operations/s`] : []),
    ...(nice ? ['nice'] : []),
  ];
  return limits.length === 0 ? '' : `limit ${limits.join(', ')}`;
}
