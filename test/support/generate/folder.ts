/** Makes one 3.x folder: drafts its messages, damages it, writes it, and says what a migration must make of it. */
import * as fs from 'node:fs';
import type { ContentSource } from './content.js';
import { applyDamage, type DamageKind } from './damage.js';
import { expectUids, type FolderDraft, type IndexLine, type Item } from './draft.js';
import { join, makeDirectory, makeSpecial, writeNew } from './files.js';
import { fileName } from './names.js';
import type { GenerateOptions, Owner } from './options.js';
import type { Random } from './random.js';

/** 1998-01-01 and 2000-12-31, seconds. */
const FIRST_DAY = 883_612_800;
const LAST_DAY = 978_220_800;
const KEYWORDS = ['$Forwarded', 'Junk', 'NonJunk', '$MDNSent', '$Label1', 'junk'];
const RIGHTS = ['lrswipcda', 'lrs', 'lr', 'lrsp', 'lrswi'];

/** A message file that a later folder of the same store path may link. */
interface Shared {
  readonly path: Buffer;
  readonly folder: Buffer;
  readonly bytes: number;
  readonly size: number;
  readonly sha256: string | null;
  readonly mtime: number;
}

/** What the folders of one store path share. */
export interface StorePath {
  readonly path: string;
  /** The latest messages that may be linked; a ring, so that memory stays bounded. */
  readonly shared: Shared[];
  /** With `recipients`: messages of the first of the users who share them, by the number of the folder. */
  readonly sent: Map<number, Shared[]>;
}

const SHARED_LIMIT = 64;

/** Counts over the whole installation. */
export interface Totals {
  folders: number;
  messages: number;
  files: number;
  bytes: number;
  links: number;
  bareLf: number;
  readonly damage: Partial<Record<DamageKind, number>>;
}

export interface FolderRequest {
  readonly user: string;
  readonly store: StorePath;
  /** Raw names below the mailbox directory. */
  readonly path: readonly Buffer[];
  readonly directory: Buffer;
  readonly messages: number;
  readonly damage: DamageKind | null;
  /** The user is the how-manieth of its store path, the folder the how-manieth of its user, both from 0. */
  readonly userNumber: number;
  readonly folderNumber: number;
}

export interface FolderMaker {
  /** Writes the folder; returns the permissions that it must get once its sub-folders are made. */
  make(request: FolderRequest, random: Random): number;
}

/** What was written of one message. */
interface Written {
  readonly bytes: number;
  readonly size: number;
  readonly sha256: string | null;
}

export function folderMaker(
  options: GenerateOptions,
  owner: Owner,
  content: ContentSource,
  totals: Totals,
  manifest: (line: Record<string, unknown>) => void,
): FolderMaker {
  let serial = 0;

  function write(request: FolderRequest, item: Item, number: number, random: Random): Written {
    const path = join(request.directory, item.name);
    if (item.kind === 'absent') return { bytes: 100, size: 0, sha256: null };
    if (item.kind === 'empty') {
      writeNew(path, new Uint8Array(), { mode: item.mode, owner, mtime: item.mtime });
      totals.files++;
      return { bytes: 0, size: 0, sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' };
    }
    if (item.kind !== 'regular') {
      makeSpecial(request.directory, item.name, item.kind, owner, item.mtime);
      return { bytes: 100, size: 0, sha256: null };
    }
    const other = item.own ? undefined : (sentBefore(request, number) ?? sharedWith(request, random));
    if (other !== undefined) return link(other, item, path);
    serial++;
    const date = typeof item.date === 'number' ? item.date : item.mtime;
    const made = content.next(random, { uid: request.user, date, serial: `${serial.toString(36)}.${options.seed}` });
    writeNew(path, made.stored, { mode: item.mode, owner, mtime: item.mtime, foreign: item.foreign });
    totals.files++;
    totals.bytes += made.stored.length;
    if (made.bareLf) totals.bareLf++;
    const { size, sha256 } = made;
    if (!item.own) {
      remember(request, {
        path,
        folder: request.directory,
        bytes: made.stored.length,
        size,
        sha256,
        mtime: item.mtime,
      });
    }
    return { bytes: made.stored.length, size, sha256 };
  }

  function remember(request: FolderRequest, message: Shared): void {
    const { store, userNumber, folderNumber } = request;
    if (options.recipients > 1 && userNumber % options.recipients === 0) {
      const sent = store.sent.get(folderNumber) ?? [];
      store.sent.set(folderNumber, sent);
      // The messages of the group before are not linked any more.
      if (sent[0] !== undefined && !sent[0].folder.equals(message.folder)) sent.length = 0;
      sent.push(message);
    }
    if (options.singleCopy === 0) return;
    if (store.shared.length >= SHARED_LIMIT) store.shared.shift();
    store.shared.push(message);
  }

  /** The message that the first of the recipients has at the same place. */
  function sentBefore({ store, userNumber, folderNumber }: FolderRequest, number: number): Shared | undefined {
    if (options.recipients <= 1 || userNumber % options.recipients === 0) return undefined;
    return store.sent.get(folderNumber)?.[number];
  }

  /** A message of another folder that is to get one more name, by chance. */
  function sharedWith(request: FolderRequest, random: Random): Shared | undefined {
    const ring = request.store.shared;
    // Given messages are all taken from their directory, so that each is there.
    if (content.count !== null || ring.length === 0 || !random.chance(options.singleCopy)) return undefined;
    const other = random.pick(ring);
    return other.folder.equals(request.directory) ? undefined : other;
  }

  /** Single-copy mode: one more name for a message. */
  function link(other: Shared, item: Item, path: Buffer): Written {
    fs.linkSync(other.path, path);
    item.mtime = other.mtime;
    totals.files++;
    totals.links++;
    return other;
  }

  function make(request: FolderRequest, random: Random): number {
    const draft = draftFolder(options, request.messages, random);
    if (request.damage !== null) {
      applyDamage(request.damage, draft, random);
      totals.damage[request.damage] = (totals.damage[request.damage] ?? 0) + 1;
    }
    makeDirectory(request.directory, 0o700, owner);
    const written = draft.items.map((item, number) => write(request, item, number, random));
    writeIndex(request.directory, draft, written, owner);
    const acl = random.chance(0.2) ? aclLines(random, request.user) : null;
    if (acl !== null) {
      writeNew(join(request.directory, Buffer.from('.acl')), `${acl.join('\n')}\n`, { mode: 0o600, owner });
    }
    if (random.chance(0.5)) writeNew(join(request.directory, Buffer.from('.lock')), '', { mode: 0o600, owner });
    totals.folders++;
    totals.messages += draft.items.length;
    if (options.manifest) report(manifest, request, draft, written, acl);
    return draft.mode;
  }

  return { make };
}

function draftFolder(options: GenerateOptions, count: number, random: Random): FolderDraft {
  const items: Item[] = [];
  let uid = 0;
  let date = random.int(FIRST_DAY, FIRST_DAY + 86_400 * 300);
  const step = Math.max(1, Math.floor((LAST_DAY - date) / (count + 1)));
  for (let number = 1; number <= count; number++) {
    uid += uidStep(options.gaps, random);
    date += random.int(0, step);
    const flags = random.chance(0.6) ? (random.chance(0.8) ? 'S' : random.pick(['SA', 'SF', 'SAF', 'SD', 'T'])) : '';
    const keywords = random.chance(options.keywords) ? [random.pick(KEYWORDS)] : [];
    if (keywords.length > 0 && random.chance(0.2)) keywords.push('Work.2');
    items.push({
      name: fileName(random, date, number),
      kind: 'regular',
      line: { uid, date: String(date), flags: flagsField(flags, keywords, random), sizeError: 0 },
      mode: 0o600,
      foreign: false,
      own: false,
      mtime: date,
      repeated: false,
      flags,
      keywords,
      date,
      outcome: 'migrated',
      code: null,
      damage: null,
    });
  }
  return {
    items,
    uidvalidity: random.int(FIRST_DAY, LAST_DAY),
    uidnext: uid + 1 + (random.chance(0.2) ? random.int(1, 20) : 0),
    index: 'whole',
    cutAt: 0,
    extraLines: [],
    lineOrder: undefined,
    mode: 0o700,
    damage: null,
  };
}

/** Gaps are expunged messages: each uid is missing with the probability `gaps`. */
function uidStep(gaps: number | null, random: Random): number {
  if (gaps === null) return random.chance(0.9) ? 1 : random.int(2, 9);
  let step = 1;
  while (random.chance(gaps)) step++;
  return step;
}

/** The flags field of a line; `R` (recent) is on a few and means nothing after the migration. */
function flagsField(flags: string, keywords: readonly string[], random: Random): string {
  const letters = random.chance(0.05) ? `${flags}R` : flags;
  const field = [letters, ...keywords].join(',');
  return field === '' ? '-' : field;
}

function aclLines(random: Random, user: string): string[] {
  const lines = [`${user} lrswipcda`];
  for (const identifier of ['anyone', 'group=staff', '-mallory', 'anonymous']) {
    if (random.chance(0.4)) lines.push(`${identifier} ${random.pick(RIGHTS)}`);
  }
  return lines;
}

function writeIndex(directory: Buffer, draft: FolderDraft, written: readonly Written[], owner: Owner): void {
  if (draft.index === 'missing') return;
  const path = join(directory, Buffer.from('.mailbox'));
  const lines: Buffer[] = [];
  if (draft.index === 'cut' || draft.index === 'whole') {
    lines.push(Buffer.from(`NSMB 3 ${draft.uidvalidity} ${draft.uidnext}\n`));
  }
  const order = draft.lineOrder ?? draft.items.map((_item, index) => index);
  order.forEach((number, position) => {
    lines.push(...draft.extraLines.filter(({ before }) => before === position).map(({ text }) => endLine(text)));
    const item = draft.items[number]!;
    if (item.line !== null) lines.push(endLine(lineText(item.line, item.name, written[number]!.bytes)));
  });
  lines.push(...draft.extraLines.filter(({ before }) => before >= order.length).map(({ text }) => endLine(text)));
  if (draft.index === 'cut') lines.push(Buffer.from(`${draft.uidnext - 1} 94`));
  writeNew(path, draft.index === 'empty' ? new Uint8Array() : Buffer.concat(lines), { mode: 0o600, owner });
}

function endLine(text: Buffer): Buffer {
  return Buffer.concat([text, Buffer.from('\n')]);
}

function lineText(line: IndexLine, name: Buffer, bytes: number): Buffer {
  return Buffer.concat([Buffer.from(`${line.uid} ${line.date} ${line.flags} ${bytes + line.sizeError} `), name]);
}

function report(
  manifest: (line: Record<string, unknown>) => void,
  request: FolderRequest,
  draft: FolderDraft,
  written: readonly Written[],
  acl: readonly string[] | null,
): void {
  const expected = expectUids(draft);
  const folder = Buffer.concat(
    request.path.flatMap((name, level) => (level === 0 ? [name] : [Buffer.from('/'), name])),
  );
  const outcomes = new Set(draft.items.map((item) => item.outcome));
  manifest({
    type: 'folder',
    user: request.user,
    folder: folder.toString('base64'),
    uidvalidity: expected.uidvalidity,
    uidnext: expected.uidnext,
    messages: draft.items.filter((item) => item.outcome === 'migrated').length,
    complete: outcomes.has('error') ? 'no' : outcomes.has('either') ? 'either' : 'yes',
    acl,
    damage: draft.damage,
  });
  draft.items.forEach((item, index) => {
    manifest({
      type: 'message',
      user: request.user,
      folder: folder.toString('base64'),
      uid: expected.uids[index],
      flags: item.flags,
      keywords: item.keywords,
      date: item.date === 'mtime' ? item.mtime : item.date,
      size: written[index]!.size,
      sha256: written[index]!.sha256,
      file: item.name.toString('base64'),
      outcome: item.outcome,
      ...(item.code === null ? {} : { code: item.code }),
      ...(item.damage === null ? {} : { damage: item.damage }),
    });
    if (item.kind === 'directory') {
      // Every directory is a folder too, also the one that stands where a message should.
      const path = Buffer.concat([folder, Buffer.from('/'), item.name]).toString('base64');
      manifest({
        type: 'folder',
        user: request.user,
        folder: path,
        uidvalidity: null,
        uidnext: 1,
        messages: 0,
        complete: 'yes',
        acl: null,
        damage: 'directory',
      });
    }
  });
}
