/**
 * Warnings about hostile input: of each kind the first `LISTED` are kept and the rest are counted, so that a
 * million bad lines cost a hundred sentences and one that says how many more there are.
 */
import { CONTROLS } from '../log/log.js';
import type { SourceWarning } from './types.js';

/** Warnings of one code that are listed one by one. */
export const LISTED = 100;

type Lazy = string | (() => string);

export interface WarningList {
  /** `where` may be a line number. What is given as a function is made only for warnings that are listed. */
  add(code: string, where: number | Lazy, message: Lazy): void;
  /** Everything added, in order of codes' first appearance; a code with more than LISTED ends in its count. */
  finish(): SourceWarning[];
}

export function warningList(): WarningList {
  const byCode = new Map<string, { listed: SourceWarning[]; total: number }>();
  return {
    add(code, where, message) {
      let kind = byCode.get(code);
      if (kind === undefined) {
        kind = { listed: [], total: 0 };
        byCode.set(code, kind);
      }
      kind.total++;
      if (kind.listed.length < LISTED) {
        const place = typeof where === 'number' ? `line ${where}` : made(where);
        kind.listed.push({ code, where: place, message: made(message) });
      }
    },
    finish() {
      const all: SourceWarning[] = [];
      for (const [code, { listed, total }] of byCode) {
        all.push(...listed);
        if (total > listed.length) {
          all.push({ code, where: '', message: `${total - listed.length} more of this kind are not listed.` });
        }
      }
      return all;
    },
  };
}

const made = (text: Lazy): string => (typeof text === 'string' ? text : text());

/** Longest piece of somebody else's text that a message quotes. */
const QUOTED = 200;

const decoder = new TextDecoder();
const UNSAFE = new RegExp(`[${CONTROLS}]`, 'g');

/** Raw bytes as text for messages: not UTF-8 shows as U+FFFD, control characters as `\x1b`, cut when long. */
export function quoteBytes(bytes: Uint8Array): string {
  const view = bytes.subarray(0, QUOTED);
  const text = decoder.decode(view);
  const safe = text.replace(UNSAFE, (c) => {
    const hex = c.charCodeAt(0).toString(16);
    return hex.length > 2 ? `\\u${hex.padStart(4, '0')}` : `\\x${hex.padStart(2, '0')}`;
  });
  return bytes.length > QUOTED ? `${safe}…` : safe;
}
