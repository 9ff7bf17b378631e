/**
 * The portable message parser, and with it the C++ one: both must give the same bytes. Coverage is that of the portable
 * parser; the C++ one has fuzz targets of its own (native/fuzz).
 */
import { decodeCacheEntry, type PartRecord } from '../../../../src/engine/message/decode.js';
import { type ImapValue, parseImapValue } from '../../../../src/engine/message/imapvalue.js';
import { crlfForm, parseMessage } from '../../../../src/engine/message/parse.js';
import { loadAddon } from '../../../../src/fs/addon.js';
import { mutate, Random, seedMessages } from '../../../support/messages.js';
import { oddMail } from '../../../support/odd-mail.js';
import { type FuzzTarget, promise, sure } from '../types.js';

/** Size and lines of each leaf in BODYSTRUCTURE are those of the list of parts (RFC 3501 7.4.2). */
function checkSizes(structure: ImapValue, part: PartRecord): void {
  promise(Array.isArray(structure), 'a BODYSTRUCTURE is a list');
  if (Array.isArray(structure[0])) {
    const children = structure.filter(Array.isArray).slice(0, part.children.length);
    children.forEach((child, i) => {
      if (part.children[i] !== undefined) checkSizes(child, part.children[i]);
    });
    return;
  }
  promise(typeof structure[6] === 'number', 'a leaf has a size');
  if (part.kind === 0) promise(structure[6] === part.bodyBytes, 'a leaf has the size of its body');
  if (part.kind === 2) {
    promise(structure[9] === part.bodyLines, 'a message has the lines of its body');
    checkSizes(structure[8]!, part.children[0]!);
  }
}

function message(): FuzzTarget {
  const addon = loadAddon();
  return {
    name: 'message',
    maxBytes: 16_384,
    seeds() {
      const random = new Random(1);
      const odd = Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? oddMail(random) : mutate(random, seedMessages)));
      return [...seedMessages, ...odd].map((seed) => new Uint8Array(seed).slice(0, 16_384));
    },
    tokens: [
      '\r\n',
      '\r\n\r\n',
      '\r\n ',
      '\r\n--',
      '--',
      '*0*=',
      '*1=',
      "''",
      '%20',
      '=?utf-8?q?x?=',
      '<',
      '>',
      '@',
      '"',
      '(',
      ')',
    ],
    stepsPerByte: 3000,
    // The parser takes any bytes: no error is an answer.
    run: (input) => sure('every message has an entry', () => check(input)),
  };

  function check(input: Uint8Array): void {
    const { headerBytes, cache } = parseMessage(input);
    const entry = decodeCacheEntry(cache);
    promise(
      headerBytes === entry.root.headerBytes && headerBytes <= input.length,
      'the header is a part of the message',
    );
    const envelope = parseImapValue(entry.envelope);
    promise(Array.isArray(envelope) && envelope.length === 10, 'an ENVELOPE has ten values');
    checkSizes(parseImapValue(entry.bodystructure), entry.root);
    const crlf = crlfForm(input);
    promise(crlfForm(crlf) === crlf, 'the CRLF form is in CRLF form');
    if (addon === undefined) return;
    const native = addon.parseMessage(input);
    promise(native.headerBytes === headerBytes, 'both parsers end the header at the same place');
    promise(Buffer.compare(native.cache, cache) === 0, 'both parsers write the same entry');
    promise(Buffer.compare(addon.crlfForm(input), crlf) === 0, 'both have the same CRLF form');
  }
}

export const targets = [message];
