/** Takes a cache entry apart again (docs/formats/store-idx.md, "Cache entry"). Every offset is checked. */
import { MailhaulError } from '../../errors.js';
import { KIND, MAX_LEVELS, MAX_PARTS } from './structure.js';

/** One part of the message; offsets are bytes of the message. */
export interface PartRecord {
  /** KIND: 0 leaf, 1 multipart, 2 message/rfc822. */
  readonly kind: number;
  readonly headerOffset: number;
  /** With the blank line; the body begins at `headerOffset + headerBytes`. */
  readonly headerBytes: number;
  readonly bodyBytes: number;
  readonly bodyLines: number;
  readonly children: readonly PartRecord[];
}

export interface CacheEntry {
  /** IMAP syntax, for `parseImapValue` or to be sent as it is. */
  readonly envelope: Uint8Array;
  readonly bodystructure: Uint8Array;
  /** The message itself. */
  readonly root: PartRecord;
  /** Raw header fields with their line ends. */
  readonly fields: Uint8Array;
  /** False: some did not fit, read the message instead. */
  readonly fieldsComplete: boolean;
}

/** @throws MailhaulError CACHE_ENTRY for bytes that are no cache entry. */
export function decodeCacheEntry(cache: Uint8Array): CacheEntry {
  if (cache.length < 16) throw damaged('it is shorter than its head');
  const view = new DataView(cache.buffer, cache.byteOffset, cache.byteLength);
  let at = 16;
  const sections = [0, 4, 8, 12].map((offset) => {
    const start = at;
    at += view.getUint32(offset, true);
    return { start, end: at };
  });
  if (at !== cache.length) throw damaged('the lengths of its sections do not add up');
  const [envelope, bodystructure, parts, fields] = sections.map(({ start, end }) => cache.subarray(start, end));
  const fieldsComplete = fields!.length === 0 || fields!.at(-1) !== 0;
  return {
    envelope: envelope!,
    bodystructure: bodystructure!,
    root: decodeParts(parts!),
    fields: fieldsComplete ? fields! : fields!.subarray(0, -1),
    fieldsComplete,
  };
}

function decodeParts(data: Uint8Array): PartRecord {
  let at = 0;
  const number = (): number => {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = data[at++];
      if (byte === undefined) throw damaged('the list of parts is cut');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 0x80;
      if (scale > 2 ** 49) throw damaged('a number of the list of parts is too long');
    }
    if (!Number.isSafeInteger(value)) throw damaged('a number of the list of parts is too large');
    return value;
  };
  let left = number();
  if (left < 1 || left > MAX_PARTS) throw damaged('the number of parts is impossible');
  let before = 0;
  const part = (level: number): PartRecord => {
    if (left-- === 0) throw damaged('there are more parts than it says');
    if (level >= MAX_LEVELS) throw damaged('its parts are nested too deep');
    const kind = number();
    const count = number();
    if (kind > KIND.message || (kind === KIND.leaf && count > 0) || (kind === KIND.message && count !== 1)) {
      throw damaged('a part is of no known kind');
    }
    const headerOffset = before + number();
    before = headerOffset;
    const [headerBytes, bodyBytes, bodyLines] = [number(), number(), number()];
    const children: PartRecord[] = [];
    for (let i = 0; i < count; i++) children.push(part(level + 1));
    return { kind, headerOffset, headerBytes, bodyBytes, bodyLines, children };
  };
  const root = part(0);
  if (left !== 0 || at !== data.length) throw damaged('the list of parts is longer than its parts');
  return root;
}

function damaged(why: string): MailhaulError {
  return new MailhaulError('CACHE_ENTRY', `A cache entry is damaged: ${why}.`, {
    hint: 'reconstruct builds the index again from the message files.',
  });
}
