/** Reads stored ENVELOPE and BODYSTRUCTURE bytes back into nested arrays (commands.md, `mboxutil --dump`). */
import { MailhaulError } from '../../errors.js';

/** A string has one character a byte, U+0000 to U+00FF; NIL is null. */
export type ImapValue = string | number | null | ImapValue[];

/** Far deeper than 100 levels of parts can go (structure.ts, MAX_LEVELS). */
const MAX_DEPTH = 1000;

/**
 * Parses one value: a list, a quoted string, a literal, a number or NIL.
 * @throws MailhaulError IMAP_VALUE with the offset of the byte that does not fit.
 */
export function parseImapValue(bytes: Uint8Array): ImapValue {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const lists: ImapValue[][] = [];
  let result: ImapValue | undefined;
  let at = 0;
  const add = (value: ImapValue): void => {
    const list = lists.at(-1);
    if (list !== undefined) list.push(value);
    else if (result === undefined) result = value;
    else throw damaged(at);
  };
  while (at < data.length) {
    const byte = data[at]!;
    if (byte === 0x20) at++;
    else if (byte === 0x28) {
      if (lists.length === MAX_DEPTH) throw damaged(at);
      lists.push([]);
      at++;
    } else if (byte === 0x29) {
      const list = lists.pop();
      if (list === undefined) throw damaged(at);
      at++;
      add(list);
    } else {
      const read = readString(data, at) ?? readAtom(data, at);
      if (read === undefined) throw damaged(at);
      add(read.value);
      at = read.next;
    }
  }
  if (lists.length > 0 || result === undefined) throw damaged(at);
  return result;
}

interface Read {
  readonly value: string | number | null;
  readonly next: number;
}

function readString(data: Buffer, from: number): Read | undefined {
  if (data[from] === 0x22) {
    let at = from + 1;
    let escapes = 0;
    for (; at < data.length && data[at] !== 0x22; at++) {
      if (data[at] === 0x5c) {
        escapes++;
        at++;
      }
    }
    if (at >= data.length) return undefined;
    const raw = data.subarray(from + 1, at);
    return { value: escapes === 0 ? raw.toString('latin1') : unescaped(raw, escapes), next: at + 1 };
  }
  if (data[from] !== 0x7b) return undefined;
  const digits = /^\{(\d{1,10})\}\r\n/.exec(data.toString('latin1', from, from + 15));
  if (digits === null) return undefined;
  const start = from + digits[0].length;
  const end = start + Number(digits[1]);
  return end <= data.length ? { value: data.toString('latin1', start, end), next: end } : undefined;
}

function unescaped(raw: Buffer, escapes: number): string {
  const out = Buffer.allocUnsafe(raw.length - escapes);
  let length = 0;
  for (let at = 0; at < raw.length; at++) {
    if (raw[at] === 0x5c) at++;
    out[length++] = raw[at]!;
  }
  return out.toString('latin1');
}

function readAtom(data: Buffer, from: number): Read | undefined {
  const atom = /^(?:NIL|\d{1,16})(?=[ ()]|$)/.exec(data.toString('latin1', from, from + 17))?.[0];
  if (atom === undefined) return undefined;
  return { value: atom === 'NIL' ? null : Number(atom), next: from + atom.length };
}

function damaged(offset: number): MailhaulError {
  return new MailhaulError('IMAP_VALUE', `A stored IMAP value is damaged at byte ${offset}.`, {
    hint: 'reconstruct builds the index again from the message files.',
  });
}
