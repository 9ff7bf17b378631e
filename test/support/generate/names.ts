/** Names of users, folders and message files: ordinary ones, and the ones that an attacker or an old client made. */
import type { Random } from './random.js';

const FOLDERS = 'Sent Drafts Trash Archive Projects Customers Lists Personal Invoices 1998 1999 Travel Templates'.split(
  ' ',
);
const latin1 = (text: string) => Buffer.from(text, 'latin1');
const utf8 = (text: string) => Buffer.from(text, 'utf8');

/** Folder names that need care; every one is a single path component of at most 255 bytes. */
export const HOSTILE_FOLDER_NAMES: readonly Buffer[] = [
  utf8('Entwürfe'),
  latin1('Entw\xfcrfe'), // The same text in ISO-8859-1: both want one 4.x name.
  utf8('Входящие'),
  utf8('日本語'),
  utf8('📬 mail'),
  utf8('50% off'),
  utf8('50* off'),
  utf8('50? off'),
  utf8('Inbox'),
  utf8('inbox'),
  utf8('bell\x07and\x1b[31mred'),
  utf8('two\nlines'),
  utf8('a&b & -'),
  utf8('~root'),
  utf8('-rf'),
  utf8('=user'),
  utf8('+inbox'),
  utf8(' leading and trailing '),
  utf8('dots...'),
  utf8('back\\slash "quoted"'),
  utf8('$(touch pwned);`id`'),
  utf8('store.idx'),
  utf8('00'),
  utf8('1.msg'),
  utf8('%d%h0123456789abcdef'),
  utf8('CaseFolder'),
  utf8('casefolder'),
  latin1('\xff\xfe\xfd'),
  Buffer.alloc(255, 'N'),
  utf8(`${'ü'.repeat(127)}x`),
];

/** `u000123`, with a few shapes mixed in that are legal for a uid: capitals, dots, at signs, plus. */
export function userName(random: Random, index: number): string {
  const number = String(index).padStart(6, '0');
  if (random.chance(0.03)) return `User.${number}`;
  if (random.chance(0.02)) return `u${number}@example.com`;
  if (random.chance(0.01)) return `u+${number}=x`;
  return `u${number}`;
}

/** The raw name of folder `index` of a user (0 is INBOX and handled elsewhere); unique among its siblings. */
export function folderName(random: Random, index: number, hostile: boolean, taken: ReadonlySet<string>): Buffer {
  const wanted = hostile ? random.pick(HOSTILE_FOLDER_NAMES) : utf8(FOLDERS[(index - 1) % FOLDERS.length] ?? 'Folder');
  if (!taken.has(wanted.toString('latin1'))) return wanted;
  for (let suffix = 2; ; suffix++) {
    const tail = utf8(` ${suffix}`);
    const name = Buffer.concat([wanted.subarray(0, 255 - tail.length), tail]);
    if (!taken.has(name.toString('latin1'))) return name;
  }
}

/** A 3.x message file name: it has no meaning of its own (3x-profile.md), and a few are strange. */
export function fileName(random: Random, date: number, number: number): Buffer {
  const base = `${date.toString(16)}.${String(number).padStart(4, '0')}`;
  if (random.chance(0.01)) return utf8(`odd name ü ${base}`);
  if (random.chance(0.005)) return latin1(`\xe9\xff%2e ${base} `);
  return utf8(base);
}
