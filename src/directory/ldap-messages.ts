/**
 * LDAP responses (RFC 4511) from bytes: framing, entries, references, results.
 *
 * ldapts encodes our requests; its decoder is not used, because it does not end on a message whose inner
 * lengths lie (12 bytes are enough), decodes values to text, and reports neither raw bytes nor the cookie of an
 * empty page. Here every length is checked against what encloses it; anything else is DIR_PROTOCOL.
 */
import { MailhaulError } from '../errors.js';
import type { RawEntry } from './types.js';
import { KEPT_ATTRIBUTES } from './validate.js';

/** Bytes of one message; a server that announces more is not believed. */
export const MESSAGE_LIMIT = 16 << 20;

/** OID of the simple paged results control (RFC 2696). */
const PAGED_RESULTS = '1.2.840.113556.1.4.319';

export type LdapResponse =
  | { readonly kind: 'entry'; readonly id: number; readonly entry: RawEntry }
  | { readonly kind: 'reference'; readonly id: number; readonly urls: readonly string[] }
  | LdapResult;

/** The response that ends an operation; `id` 0 is the server's notice of disconnection. */
export interface LdapResult {
  readonly kind: 'result';
  readonly id: number;
  /** resultCode of RFC 4511, appendix A. */
  readonly code: number;
  /** diagnosticMessage. */
  readonly text: string;
  readonly referrals: readonly string[];
  /** Cookie of the paged results control; undefined when the server sent none. */
  readonly cookie: Buffer | undefined;
}

const TAG = {
  octets: 0x04,
  integer: 0x02,
  enumerated: 0x0a,
  sequence: 0x30,
  set: 0x31,
  bindResponse: 0x61,
  searchEntry: 0x64,
  searchDone: 0x65,
  searchReference: 0x73,
  extendedResponse: 0x78,
  referral: 0xa3,
  controls: 0xa0,
} as const;

export function protocolError(what: string): MailhaulError {
  return new MailhaulError('DIR_PROTOCOL', `The directory server sent what is not LDAP: ${what}.`, {
    hint: 'Check host and port; ldaps:// is for the TLS port, ldap:// for the plain one.',
  });
}

/** Bytes of the message that begins `data`, 0 when more are needed to tell. Throws DIR_PROTOCOL. */
export function frameLength(data: Uint8Array): number {
  if (data.length < 2) {
    if (data.length === 1 && data[0] !== TAG.sequence) throw protocolError('no message begins here');
    return 0;
  }
  if (data[0] !== TAG.sequence) throw protocolError('no message begins here');
  const first = data[1] as number;
  if (first < 0x80) return 2 + first;
  const count = first & 0x7f;
  if (count === 0 || count > 4) throw protocolError('a length in an unknown form');
  if (data.length < 2 + count) return 0;
  let length = 0;
  for (let i = 0; i < count; i++) length = length * 256 + (data[2 + i] as number);
  if (length > MESSAGE_LIMIT) throw protocolError(`a message of ${length} bytes`);
  return 2 + count + length;
}

/** One whole message, as long as `frameLength` said. */
export function decodeResponse(data: Buffer): LdapResponse {
  const message = new Cursor(data).enter(TAG.sequence);
  const id = message.integer(TAG.integer);
  const { tag, body } = message.next();
  switch (tag) {
    case TAG.searchEntry:
      return { kind: 'entry', id, entry: decodeEntry(body) };
    case TAG.searchReference:
      return { kind: 'reference', id, urls: body.strings() };
    case TAG.bindResponse:
    case TAG.searchDone:
    case TAG.extendedResponse:
      return decodeResult(id, body, message);
    default:
      throw protocolError(`an operation 0x${tag.toString(16)}`);
  }
}

function decodeEntry(body: Cursor): RawEntry {
  const dn = body.octets().toString('utf8');
  const attributes = new Map<string, Buffer[]>();
  const list = body.enter(TAG.sequence);
  while (!list.done) {
    const attribute = list.enter(TAG.sequence);
    const name = attribute.octets().toString('latin1').toLowerCase();
    const set = attribute.enter(TAG.set);
    if (!KEPT_ATTRIBUTES.has(name)) continue;
    const values: Buffer[] = attributes.get(name) ?? [];
    while (!set.done) values.push(set.octets());
    attributes.set(name, values);
  }
  return { dn, attributes };
}

function decodeResult(id: number, body: Cursor, message: Cursor): LdapResult {
  const code = body.integer(TAG.enumerated);
  body.octets();
  const text = body.octets().toString('utf8');
  let referrals: string[] = [];
  while (!body.done) {
    const { tag, body: inner } = body.next();
    if (tag === TAG.referral) referrals = inner.strings();
  }
  const cookie = message.done ? undefined : pagedCookie(message.enter(TAG.controls));
  return { kind: 'result', id, code, text, referrals, cookie };
}

function pagedCookie(controls: Cursor): Buffer | undefined {
  while (!controls.done) {
    const control = controls.enter(TAG.sequence);
    if (control.octets().toString('latin1') !== PAGED_RESULTS) continue;
    while (!control.done) {
      // criticality, then the value
      const { tag, body } = control.next();
      if (tag !== TAG.octets) continue;
      const value = body.enter(TAG.sequence);
      value.integer(TAG.integer);
      return value.octets();
    }
  }
  return undefined;
}

/** A window on BER elements; never reads outside it and always moves on. */
class Cursor {
  readonly #data: Buffer;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  get done(): boolean {
    return this.#at >= this.#data.length;
  }

  next(): { tag: number; body: Cursor } {
    const { tag, bytes } = this.#element();
    return { tag, body: new Cursor(bytes) };
  }

  enter(wanted: number): Cursor {
    return new Cursor(this.#expect(wanted));
  }

  octets(): Buffer {
    return this.#expect(TAG.octets);
  }

  /** All elements as text, each an octet string. */
  strings(): string[] {
    const found: string[] = [];
    while (!this.done) found.push(this.octets().toString('utf8'));
    return found;
  }

  integer(wanted: number): number {
    const bytes = this.#expect(wanted);
    if (bytes.length === 0 || bytes.length > 5) throw protocolError('an integer of the wrong size');
    return bytes.readIntBE(0, bytes.length);
  }

  #expect(wanted: number): Buffer {
    const { tag, bytes } = this.#element();
    if (tag !== wanted) throw protocolError(`element 0x${tag.toString(16)} in the place of 0x${wanted.toString(16)}`);
    return bytes;
  }

  #element(): { tag: number; bytes: Buffer } {
    const data = this.#data;
    const tag = data[this.#at];
    const first = data[this.#at + 1];
    if (tag === undefined || first === undefined) throw protocolError('a message that ends too early');
    let start = this.#at + 2;
    let length = first;
    if (first >= 0x80) {
      const count = first & 0x7f;
      if (count === 0 || count > 4 || start + count > data.length) throw protocolError('a length in an unknown form');
      length = data.readUIntBE(start, count);
      start += count;
    }
    if (start + length > data.length) throw protocolError('an element longer than what holds it');
    this.#at = start + length;
    return { tag, bytes: data.subarray(start, start + length) };
  }
}
