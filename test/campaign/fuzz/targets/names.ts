/** Folder names from 3.x bytes to 4.x names and directory names, and back. */
import {
  assignNames,
  componentName,
  escapeComponent,
  formatMailboxName,
  legacyText,
  mailboxPathComponents,
  parseMailboxName,
  unescapeComponent,
  userPathComponents,
} from '../../../../src/store/names.js';
import { encodeUtf7 } from '../../../../src/store/utf7.js';
import { decodeUtf7 } from '../../../support/utf7.js';
import { type FuzzTarget, promise, sure } from '../types.js';
import { bytes } from './scratch.js';

/** Distinct names of one parent: pieces between slashes and line ends, as directories allow them. */
function siblingsIn(input: Uint8Array): Uint8Array[] {
  const text = Buffer.from(input).toString('latin1');
  const pieces = text.split(/[/\n\0]/).map((name) => name.slice(0, 255));
  const names = new Set(pieces.filter((name) => name !== '' && name !== '.' && name !== '..'));
  return [...names].slice(0, 200).map((name) => new Uint8Array(Buffer.from(name, 'latin1')));
}

/** A directory name that every file system keeps apart from others, whatever it does with case. */
function checkDirectoryName(directory: string): void {
  promise(/^=[a-z0-9\-_@,+%]+$/.test(directory), 'a directory name is plain ASCII without upper case');
  promise(directory.length <= 255, 'a directory name has at most 255 bytes');
}

function checkComponent(component: string): void {
  const directory = escapeComponent(component);
  checkDirectoryName(directory);
  const back = unescapeComponent(directory);
  promise(back !== undefined, 'what is written can be read');
  if (back.kind === 'name') promise(back.component === component, 'a name comes back');
  else promise(component.startsWith(back.prefix.replace(/\ufffd+$/, '')), 'a cut name begins as the whole one');
}

function checkFolderName(raw: Uint8Array): void {
  const component = componentName(raw);
  promise(/^[ -~]+$/.test(component), 'a 4.x name is printable ASCII');
  promise(!/[%*?]/.test(component), 'a 4.x name holds no wildcard');
  const decoded = decodeUtf7(component);
  promise(decoded !== undefined, 'a 4.x name is modified UTF-7');
  promise(decoded === legacyText(raw).replace(/[%*?\u0000-\u001f\u007f-\u009f]/g, '_'), 'a 4.x name is the 3.x name');
  checkComponent(component);
}

function checkSiblings(siblings: readonly Uint8Array[], topLevel: boolean): void {
  const assigned = assignNames(siblings, { topLevel });
  const names = new Set(assigned.map(({ name }) => name));
  promise(names.size === siblings.length, 'siblings have different names');
  const directories = new Set(assigned.map(({ name }) => escapeComponent(name)));
  promise(directories.size === siblings.length, 'siblings have different directories');
  const reversed = assignNames([...siblings].reverse(), { topLevel }).reverse();
  promise(
    reversed.every(({ name }, i) => name === assigned[i]!.name),
    'names do not depend on the order of the directory',
  );
  for (const { name } of assigned) {
    const whole = formatMailboxName('anna', [name]);
    const parsed = parseMailboxName(whole);
    promise(parsed !== undefined && parsed.uid === 'anna' && parsed.components.length === 1, 'a whole name is parsed');
    for (const directory of mailboxPathComponents('anna', whole).slice(1)) promise(directory !== '..', 'a path stays');
  }
}

function names(): FuzzTarget {
  return {
    name: 'names',
    maxBytes: 2048,
    seeds: () => [
      bytes('INBOX', 'inbox', 'Inbox', 'Trash', 'trash', 'a*b', 'a?b', 'a_b', ''),
      bytes('\xc3\xa9', '\xe9', '\xf0\x9f\x98\x80', '&', '&-', 'a&b-', '&AOk-', '\xff\xfe', '\xed\xa0\x80'),
      bytes('=user', '+a%d', 'A', '%h0123456789abcdef', 'x'.repeat(255), 'X'.repeat(255), '\x01\x7f\xc2\x80'),
      bytes('~', 'a*b~e0b1cb3d', '. ', ' ', '..a', '...'),
    ],
    tokens: ['INBOX', '~', '%h', '&', '-', '=', '+', '\xc3\xa9', '\xe2\x80\xa8', '/', '\xef\xbb\xbf'],
    stepsPerByte: 20_000,
    // Bytes of a directory always have a name: no error is an answer.
    run: (input) => sure('every name has its 4.x name', () => checkAll(input)),
  };
}

function checkAll(input: Uint8Array): void {
  const siblings = siblingsIn(input);
  for (const raw of siblings) checkFolderName(raw);
  checkSiblings(siblings, true);
  checkSiblings(siblings, false);

  const text = Buffer.from(input).toString('utf8');
  promise(decodeUtf7(encodeUtf7(text)) === text, 'UTF-7 comes back');
  const units = Buffer.from(input.subarray(0, input.length & ~1)).toString('utf16le');
  promise(decodeUtf7(encodeUtf7(units)) === units, 'UTF-7 of any UTF-16 comes back');
  if (text !== '') checkComponent(text);
  const directory = Buffer.from(input).toString('latin1');
  const read = unescapeComponent(directory);
  if (read?.kind === 'name') promise(escapeComponent(read.component) === directory, 'one directory, one name');
  const decoded = decodeUtf7(directory);
  if (decoded !== undefined) promise(encodeUtf7(decoded) === directory, 'one text, one form');
  const parsed = parseMailboxName(directory);
  if (parsed !== undefined) {
    userPathComponents(parsed.uid).slice(3).forEach(checkDirectoryName);
    for (const part of mailboxPathComponents(parsed.uid, formatMailboxName(parsed.uid, parsed.components))) {
      promise(!part.includes('/') && part !== '.' && part !== '..' && part.length <= 255, 'a path stays');
    }
  }
}

export const targets = [names];
