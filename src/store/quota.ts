/** Quota limits, as the databases hold them. */

/** Bytes: the largest number that a value of the databases, which is JSON, keeps exactly (docs/formats/mboxlist.md). */
export const LARGEST_QUOTA = Number.MAX_SAFE_INTEGER;

/** Characters; a longer text is no number that anybody meant. */
export const QUOTA_TEXT_LIMIT = 64;

export interface QuotaBytes {
  readonly bytes: number;
  /** It said more than LARGEST_QUOTA, such as 2^63 - 1 for "no limit": no mail will ever tell the two apart. */
  readonly isReduced: boolean;
}

/** A decimal number of bytes; undefined: it is none. */
export function parseQuotaBytes(text: string): QuotaBytes | undefined {
  if (text.length > QUOTA_TEXT_LIMIT || !/^[0-9]+$/.test(text)) return undefined;
  const bytes = Number(text);
  return Number.isSafeInteger(bytes) ? { bytes, isReduced: false } : { bytes: LARGEST_QUOTA, isReduced: true };
}
