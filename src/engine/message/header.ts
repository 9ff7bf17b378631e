/**
 * Header fields: where the header ends, and the spans of the fields that the cache entry needs.
 *
 * ```
 * Subject : the first line CRLF     name = [S, t], value = [t, d]: blanks around the colon are skipped
 *  and a folded one CRLF            the value runs on through folded lines, without the last CRLF
 * a line without a colon CRLF       is skipped; it does not end the header
 * CRLF                              ends the header and belongs to it
 * ```
 */
import { COLON, CR, equalsLower, isBlank, LF, type Span } from './bytes.js';

/** Fields of ENVELOPE, in its order, then those of BODYSTRUCTURE. */
export const FIELD = {
  date: 0,
  subject: 1,
  from: 2,
  sender: 3,
  replyTo: 4,
  to: 5,
  cc: 6,
  bcc: 7,
  inReplyTo: 8,
  messageId: 9,
  contentType: 10,
  contentTransferEncoding: 11,
  contentId: 12,
  contentDescription: 13,
  contentMd5: 14,
  contentDisposition: 15,
  contentLanguage: 16,
  contentLocation: 17,
  mimeVersion: 18,
} as const;

const NAMES: readonly string[] = [
  'date',
  'subject',
  'from',
  'sender',
  'reply-to',
  'to',
  'cc',
  'bcc',
  'in-reply-to',
  'message-id',
  'content-type',
  'content-transfer-encoding',
  'content-id',
  'content-description',
  'content-md5',
  'content-disposition',
  'content-language',
  'content-location',
  'mime-version',
];

/** Fields kept raw in the entry (store-idx.md, "fields"), beside every `List-*`. */
const CACHED: readonly string[] = [
  'references',
  'in-reply-to',
  'x-priority',
  'priority',
  'importance',
  'precedence',
  'newsgroups',
  'followup-to',
  'mail-followup-to',
  'errors-to',
  'x-mailer',
  'user-agent',
  'auto-submitted',
  'disposition-notification-to',
  'x-spam-flag',
  'x-spam-status',
];

function byLength(names: readonly string[]): readonly (readonly string[])[] {
  const longest = Math.max(...names.map((name) => name.length));
  return Array.from({ length: longest + 1 }, (_, length) => names.filter((name) => name.length === length));
}

const NAMES_BY_LENGTH = byLength(NAMES);
const CACHED_BY_LENGTH = byLength(CACHED);

/** A field of the header; `kind` is a FIELD. */
export interface HeaderField extends Span {
  readonly kind: number;
}

/** The FIELD that [start, end) names, or -1. */
export function fieldKind(data: Uint8Array, start: number, end: number): number {
  for (const name of NAMES_BY_LENGTH[end - start] ?? []) {
    if (equalsLower(data, start, end, name)) return NAMES.indexOf(name);
  }
  return -1;
}

/** True for the name of a field that `fields` keeps. */
export function isCachedField(data: Uint8Array, start: number, end: number): boolean {
  if (end - start > 5 && equalsLower(data, start, start + 5, 'list-')) return true;
  return (CACHED_BY_LENGTH[end - start] ?? []).some((name) => equalsLower(data, start, end, name));
}

/** Where a line that begins with a name stops being one; `end` when it has no colon. */
export function colonOf(data: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end; at++) if (data[at] === COLON) return at;
  return end;
}

/** The end of the name before the colon: blanks before the colon are not part of it (RFC 5322 4.5). */
export function nameEnd(data: Uint8Array, start: number, colon: number): number {
  let end = colon;
  while (end > start && isBlank(data[end - 1]!)) end--;
  return end;
}

/** The value after the colon, without the blanks before it on the first line and without the last line end. */
export function valueSpan(data: Uint8Array, colon: number, fieldEnd: number): Span {
  let end = fieldEnd;
  if (end > colon + 1 && data[end - 1] === LF) {
    end--;
    if (end > colon + 1 && data[end - 1] === CR) end--;
  }
  let start = colon + 1;
  while (start < end && isBlank(data[start]!)) start++;
  return { start, end };
}

/** The field that rules: of a repeated one the last. Address fields are the exception (envelope.ts). */
export function lastField(fields: readonly HeaderField[], kind: number): HeaderField | undefined {
  return fields.findLast((field) => field.kind === kind);
}
