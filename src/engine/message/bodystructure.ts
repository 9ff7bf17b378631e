/**
 * BODYSTRUCTURE (RFC 3501 7.4.2) with all extension data, so that BODY is its prefix.
 *
 * The last of a repeated field rules. A Content-Type that is missing or cannot be read is text/plain (RFC 2045 5.2). A text part without a charset has
 * us-ascii (RFC 2046 4.1.2).
 */
import type { AddressScratch } from './addresses.js';
import { equalsLower } from './bytes.js';
import { writeEnvelope, writeText } from './envelope.js';
import { FIELD, lastField } from './header.js';
import { appendValue, type Parameter, parseDisposition, parseEncoding, parseLanguages } from './parameters.js';
import { isMessage, KIND, type Part } from './structure.js';
import type { Writer } from './writer.js';

const DEFAULT_CHARSET = '"charset" "us-ascii"';
/** A multipart must have a part: one without any shows an empty text, as both servers have it. */
const EMPTY_PART = `("text" "plain" (${DEFAULT_CHARSET}) NIL NIL "7bit" 0 0 NIL NIL NIL NIL)`;

/** Recursion is bounded by MAX_LEVELS. */
export function writeBodyStructure(data: Uint8Array, part: Part, out: Writer, scratch: AddressScratch): void {
  out.byte(0x28);
  if (part.kind === KIND.multipart) writeMultipart(data, part, out, scratch);
  else writeSingle(data, part, out, scratch);
  writeExtension(data, part, out, scratch.name);
  out.byte(0x29);
}

function writeMultipart(data: Uint8Array, part: Part, out: Writer, scratch: AddressScratch): void {
  for (const child of part.children) writeBodyStructure(data, child, out, scratch);
  if (part.children.length === 0) out.ascii(EMPTY_PART);
  const type = part.contentType!;
  out.byte(0x20);
  out.string(data, type.subtypeStart, type.subtypeEnd);
  out.byte(0x20);
  writeParameters(data, type.parameters, false, out, scratch.name);
}

function writeSingle(data: Uint8Array, part: Part, out: Writer, scratch: AddressScratch): void {
  const type = part.contentType;
  let text = false;
  if (part.overflow) out.ascii('"application" "octet-stream"');
  else if (type !== undefined) {
    text = equalsLower(data, type.typeStart, type.typeEnd, 'text');
    out.string(data, type.typeStart, type.typeEnd);
    out.byte(0x20);
    out.string(data, type.subtypeStart, type.subtypeEnd);
  } else if (isMessage(data, part)) out.ascii('"message" "rfc822"');
  else {
    text = true;
    out.ascii('"text" "plain"');
  }
  out.byte(0x20);
  writeParameters(data, type?.parameters ?? [], text, out, scratch.name);
  out.byte(0x20);
  writeText(data, lastField(part.fields, FIELD.contentId), out, scratch.name);
  out.byte(0x20);
  writeText(data, lastField(part.fields, FIELD.contentDescription), out, scratch.name);
  out.byte(0x20);
  writeEncoding(data, part, out);
  out.ascii(` ${part.bodyEnd - part.bodyStart}`);
  if (part.kind === KIND.message) {
    const child = part.children[0]!;
    out.byte(0x20);
    writeEnvelope(data, child.fields, out, scratch);
    out.byte(0x20);
    writeBodyStructure(data, child, out, scratch);
  }
  if (text || part.kind === KIND.message) out.ascii(` ${part.lines}`);
  out.byte(0x20);
  writeText(data, lastField(part.fields, FIELD.contentMd5), out, scratch.name);
}

/** Disposition, language and location, which end both forms. */
function writeExtension(data: Uint8Array, part: Part, out: Writer, scratch: Writer): void {
  out.byte(0x20);
  writeDisposition(data, part, out, scratch);
  out.byte(0x20);
  writeLanguages(data, part, out);
  out.byte(0x20);
  writeText(data, lastField(part.fields, FIELD.contentLocation), out, scratch);
}

function writeEncoding(data: Uint8Array, part: Part, out: Writer): void {
  const field = lastField(part.fields, FIELD.contentTransferEncoding);
  const encoding = field && parseEncoding(data, field.start, field.end);
  if (encoding === undefined) out.ascii('"7bit"');
  else out.string(data, encoding.start, encoding.end);
}

function writeDisposition(data: Uint8Array, part: Part, out: Writer, scratch: Writer): void {
  const field = lastField(part.fields, FIELD.contentDisposition);
  const disposition = field && parseDisposition(data, field.start, field.end);
  if (disposition === undefined) {
    out.nil();
    return;
  }
  out.byte(0x28);
  out.string(data, disposition.start, disposition.end);
  out.byte(0x20);
  writeParameters(data, disposition.parameters, false, out, scratch);
  out.byte(0x29);
}

function writeLanguages(data: Uint8Array, part: Part, out: Writer): void {
  const field = lastField(part.fields, FIELD.contentLanguage);
  const tags = field === undefined ? [] : parseLanguages(data, field.start, field.end);
  if (tags.length === 0) {
    out.nil();
    return;
  }
  out.byte(0x28);
  for (const [i, tag] of tags.entries()) {
    if (i > 0) out.byte(0x20);
    out.string(data, tag.start, tag.end);
  }
  out.byte(0x29);
}

function writeParameters(
  data: Uint8Array,
  parameters: readonly Parameter[],
  text: boolean,
  out: Writer,
  scratch: Writer,
): void {
  const hasCharset = parameters.some(
    ({ nameStart, nameEnd, star }) => !star && equalsLower(data, nameStart, nameEnd, 'charset'),
  );
  const addCharset = text && !hasCharset;
  if (parameters.length === 0 && !addCharset) {
    out.nil();
    return;
  }
  out.byte(0x28);
  for (const [i, parameter] of parameters.entries()) {
    if (i > 0) out.byte(0x20);
    scratch.clear();
    scratch.bytes(data, parameter.nameStart, parameter.nameEnd);
    if (parameter.star) scratch.byte(0x2a);
    out.string(scratch.view());
    out.byte(0x20);
    scratch.clear();
    appendValue(data, parameter, scratch);
    out.string(scratch.view());
  }
  if (addCharset) out.ascii(parameters.length > 0 ? ` ${DEFAULT_CHARSET}` : DEFAULT_CHARSET);
  out.byte(0x29);
}
