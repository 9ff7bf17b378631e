/**
 * ENVELOPE (RFC 3501 7.4.2): date, subject, six address lists, in-reply-to, message-id.
 *
 * Of a repeated text field the last rules; repeated address fields are one list. A missing (or empty) Sender or
 * Reply-To is the From list. Texts are unfolded and otherwise the header's own bytes.
 */
import { type AddressScratch, writeAddresses } from './addresses.js';
import type { Span } from './bytes.js';
import { FIELD, type HeaderField, lastField } from './header.js';
import type { Writer } from './writer.js';

export function writeEnvelope(
  data: Uint8Array,
  fields: readonly HeaderField[],
  out: Writer,
  scratch: AddressScratch,
): void {
  // The From list within `out`; empty when there is none.
  let from: Span = { start: 0, end: 0 };
  out.byte(0x28);
  for (let kind: number = FIELD.date; kind <= FIELD.messageId; kind++) {
    if (kind > FIELD.date) out.byte(0x20);
    if (kind < FIELD.from || kind > FIELD.bcc) {
      writeText(data, lastField(fields, kind), out, scratch.name);
      continue;
    }
    const start = out.length;
    if (writeList(data, fields, kind, out, scratch)) {
      if (kind === FIELD.from) from = { start, end: out.length };
    } else if ((kind === FIELD.sender || kind === FIELD.replyTo) && from.end > 0) out.repeat(from.start, from.end);
    else out.nil();
  }
  out.byte(0x29);
}

/** An unfolded text, or NIL when there is no such field. */
export function writeText(data: Uint8Array, field: HeaderField | undefined, out: Writer, scratch: Writer): void {
  if (field === undefined) {
    out.nil();
    return;
  }
  scratch.clear();
  scratch.unfolded(data, field.start, field.end);
  out.string(scratch.view());
}

/** Writes the list and returns true, or writes nothing when no field of this kind holds an address. */
function writeList(
  data: Uint8Array,
  fields: readonly HeaderField[],
  kind: number,
  out: Writer,
  scratch: AddressScratch,
): boolean {
  const before = out.length;
  out.byte(0x28);
  let count = 0;
  for (const field of fields) {
    if (field.kind === kind) count = writeAddresses(data, field, count, out, scratch);
  }
  if (count === 0) {
    out.length = before;
    return false;
  }
  out.byte(0x29);
  return true;
}
