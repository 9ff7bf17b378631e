/**
 * Every row of the "Damage that must not stop a migration" table (3x-profile.md), each as a change to a folder
 * draft and to what is expected of it.
 */
import type { FolderDraft, Item } from './draft.js';
import type { Random } from './random.js';

interface Damage {
  readonly kind: string;
  /** Only root can make it. */
  readonly root?: boolean;
  apply(draft: FolderDraft, random: Random): void;
}

const definitions = [
  { kind: 'mailbox-missing', apply: (draft) => loseIndex(draft, 'missing') },
  { kind: 'mailbox-empty', apply: (draft) => loseIndex(draft, 'empty') },
  { kind: 'mailbox-truncated', apply: truncate },
  { kind: 'mailbox-garbage', apply: garbage },
  { kind: 'header-lost', apply: loseHeader },
  { kind: 'bad-date', apply: badDate },
  { kind: 'bad-flags', apply: badFlags },
  { kind: 'line-without-file', apply: lineWithoutFile },
  { kind: 'file-without-line', apply: fileWithoutLine },
  { kind: 'size-differs', apply: sizeDiffers },
  { kind: 'uids-unsorted', apply: unsorted },
  { kind: 'uid-repeated', apply: repeated },
  { kind: 'file-listed-twice', apply: listedTwice },
  { kind: 'uid-overflow', apply: overflow },
  { kind: 'empty-file', apply: (draft, random) => change(draft, random, { kind: 'empty' }) },
  { kind: 'symlink', apply: (draft, random) => notRegular(draft, random, 'symlink') },
  { kind: 'fifo', apply: (draft, random) => notRegular(draft, random, 'fifo') },
  { kind: 'socket', apply: (draft, random) => notRegular(draft, random, 'socket') },
  { kind: 'device', root: true, apply: (draft, random) => notRegular(draft, random, 'device') },
  { kind: 'directory', apply: (draft, random) => notRegular(draft, random, 'directory') },
  {
    kind: 'foreign-owner',
    root: true,
    apply: (draft, random) => change(draft, random, { foreign: true, outcome: 'error', code: 'MSG_FOREIGN_OWNER' }),
  },
  {
    kind: 'writable-by-others',
    apply: (draft, random) => change(draft, random, { mode: 0o666, outcome: 'error', code: 'MSG_WRITABLE_BY_OTHERS' }),
  },
  {
    kind: 'unreadable-file',
    apply: (draft, random) => change(draft, random, { mode: 0, outcome: 'either', code: 'MSG_UNREADABLE' }),
  },
  { kind: 'folder-unreadable', apply: unreadableFolder },
] as const satisfies readonly Damage[];

export type DamageKind = (typeof definitions)[number]['kind'];
export const DAMAGE: readonly (Damage & { readonly kind: DamageKind })[] = definitions;

/** Damages a draft of at least three messages. */
export function applyDamage(kind: DamageKind, draft: FolderDraft, random: Random): void {
  draft.damage = kind;
  DAMAGE.find((damage) => damage.kind === kind)?.apply(draft, random);
}

/** One message of the middle: it has neighbours on both sides. */
function victim(draft: FolderDraft, random: Random): Item {
  const item = draft.items[random.int(1, draft.items.length - 2)]!;
  item.own = true;
  item.damage = draft.damage;
  return item;
}

function change(draft: FolderDraft, random: Random, fields: Partial<Item>): void {
  Object.assign(victim(draft, random), fields);
}

function notRegular(draft: FolderDraft, random: Random, kind: Item['kind']): void {
  change(draft, random, { kind, outcome: 'error', code: 'MSG_NOT_REGULAR' });
}

/** A file that no line names has no flags, and its modification time is its date. */
function unlist(item: Item, damage: string | null): void {
  item.line = null;
  item.flags = '';
  item.keywords = [];
  item.date = 'mtime';
  item.damage = damage;
}

function loseIndex(draft: FolderDraft, index: 'missing' | 'empty'): void {
  draft.index = index;
  for (const item of draft.items) unlist(item, draft.damage);
}

function loseHeader(draft: FolderDraft): void {
  draft.index = 'headerless';
}

/** The file ends in the middle of a line, before its name: that line and all after it are lost. */
function truncate(draft: FolderDraft, random: Random): void {
  draft.index = 'cut';
  draft.cutAt = random.int(1, draft.items.length - 1);
  for (const item of draft.items.slice(draft.cutAt)) unlist(item, draft.damage);
}

const GARBAGE = [
  '\0\0\0\0\0\0',
  'not a line',
  '99999999999 1 - 1 x',
  '-5 1 - 1 x',
  '7 1 - 1 ',
  '8 1 - 1 ../../etc/passwd',
];

function garbage(draft: FolderDraft, random: Random): void {
  for (const text of [...GARBAGE, '9 1 - 1 .hidden', '\xff\xfe\x80'.repeat(300), '']) {
    draft.extraLines.push({ before: random.int(0, draft.items.length - 1), text: Buffer.from(text, 'latin1') });
  }
}

function badDate(draft: FolderDraft, random: Random): void {
  const item = victim(draft, random);
  if (item.line !== null) item.line.date = random.pick(['yesterday', '-', '12x', '?']);
  item.date = 'mtime';
}

function badFlags(draft: FolderDraft, random: Random): void {
  const item = victim(draft, random);
  if (item.line !== null) item.line.flags = 'SxA9!';
  item.flags = 'SA';
  item.keywords = [];
}

function lineWithoutFile(draft: FolderDraft, random: Random): void {
  change(draft, random, { kind: 'absent', outcome: 'nothing' });
}

function fileWithoutLine(draft: FolderDraft, random: Random): void {
  unlist(victim(draft, random), draft.damage);
  unlist(victim(draft, random), draft.damage);
}

function sizeDiffers(draft: FolderDraft, random: Random): void {
  const item = victim(draft, random);
  if (item.line !== null) item.line.sizeError = random.int(1, 5000);
}

function unsorted(draft: FolderDraft): void {
  draft.lineOrder = draft.items.map((_item, index) => index).reverse();
  for (const item of draft.items) item.damage = draft.damage;
}

/** A later line has the uid of the line before it. */
function repeated(draft: FolderDraft, random: Random): void {
  const index = random.int(1, draft.items.length - 2);
  const [first, second] = [draft.items[index]!, draft.items[index + 1]!];
  if (first.line === null || second.line === null) return;
  second.line.uid = first.line.uid;
  second.repeated = true;
  second.damage = draft.damage;
}

/** A second line, with a uid of its own between two others, for a file that has a line already. */
function listedTwice(draft: FolderDraft, random: Random): void {
  const index = random.int(1, draft.items.length - 2);
  const item = draft.items[index]!;
  item.damage = draft.damage;
  const uid = draft.items.at(-1)!.line!.uid + 1;
  const text = Buffer.concat([Buffer.from(`${uid} 900000000 F 1 `), item.name]);
  draft.extraLines.push({ before: draft.items.length, text });
  draft.uidnext = Math.max(draft.uidnext, uid + 1);
}

/** No uid is left for the second of two files without a line. */
function overflow(draft: FolderDraft): void {
  const [first, second] = [draft.items.at(-2)!, draft.items.at(-1)!];
  draft.uidnext = 0xffff_ffff;
  for (const item of [first, second]) {
    item.own = true;
    unlist(item, draft.damage);
  }
}

function unreadableFolder(draft: FolderDraft): void {
  draft.mode = 0;
  for (const item of draft.items) {
    item.outcome = 'either';
    item.damage = draft.damage;
  }
}
