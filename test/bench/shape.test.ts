/** The shape of a generated store: what was asked for is found, and nothing of the store has changed. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { scaledDown } from '../../bench/like.js';
import { readShape, type StoreShapeFound } from '../../bench/shape.js';
import { generateInstallation, type Installation, removeInstallation } from '../support/generate.js';

/** To root nothing is unreadable. */
const NOBODY = 65534;

let work = '';
let made: Installation;
let shape: StoreShapeFound;
let before: string[];
let after: string[];
beforeAll(() => {
  work = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-shape-'));
  made = generateInstallation({
    root: path.join(work, 'site'),
    users: 8,
    folders: 4,
    messages: 800,
    storePaths: 1,
    spread: 'even',
    damage: 0,
    bareLf: 0.5,
    singleCopy: 0.3,
    gaps: 0.5,
    hostileNames: 0.3,
    manifest: false,
  });
  const outside = path.join(work, 'outside');
  fs.mkdirSync(outside);
  fs.writeFileSync(path.join(outside, 'secret'), 'x');
  // A link to a directory is no folder, one to a file is no message.
  fs.symlinkSync(outside, path.join(firstMailbox(), 'linked'));
  fs.symlinkSync(path.join(outside, 'secret'), path.join(firstMailbox(), 'INBOX', 'linked'));
  before = everything(work);
  shape = readShape([made.instance]);
  after = everything(work);
});
afterAll(() => removeInstallation(work));

function firstMailbox(): string {
  const storePath = made.storePaths[0]!;
  return path.join(storePath, fs.readdirSync(storePath)[0]!);
}

/** Each entry with its times to the nanosecond, access time included. */
function everything(root: string): string[] {
  const lines: string[] = [];
  const visit = (at: Buffer) => {
    const { ino, mode, nlink, size, atimeNs, mtimeNs, ctimeNs } = fs.lstatSync(at, { bigint: true });
    // Those of directories are this walk's own.
    const read = (Number(mode) & 0o170000) === 0o040000 ? '' : atimeNs;
    lines.push([at.toString('latin1'), ino, mode, nlink, size, read, mtimeNs, ctimeNs].join(' '));
    if (!fs.lstatSync(at).isDirectory()) return;
    for (const name of fs.readdirSync(at, { encoding: 'buffer' })) visit(Buffer.concat([at, Buffer.from('/'), name]));
  };
  visit(Buffer.from(root));
  return lines.sort();
}

it('changes nothing, not even access times', () => {
  expect(after).toEqual(before);
});

it('counts users, folders, messages and inodes', () => {
  const { users, folders, messages, inodes, bytes, storePaths } = shape;
  expect({ users, folders, messages }).toEqual({ users: 8, folders: 32, messages: 800 });
  expect(inodes).toBe(made.messages - made.links);
  expect(made.links).toBeGreaterThan(50);
  expect(bytes).toBe(made.bytes);
  expect(storePaths).toEqual(made.storePaths);
});

it('finds the same in a store of which there is a copy of links', () => {
  const copy = path.join(work, 'copy');
  execFileSync('cp', ['-al', made.storePaths[0]!, copy]);
  const { seconds: _seconds, ...found } = readShape([made.storePaths[0]!]);
  fs.rmSync(copy, { recursive: true });
  const { seconds: _other, ...known } = shape;
  expect(found).toEqual(known);
});

it('tells apart what is no mail and what could not be read', () => {
  const site = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-unreadable-'));
  fs.chmodSync(site, 0o755);
  fs.mkdirSync(path.join(site, 'user/INBOX'), { recursive: true });
  fs.writeFileSync(path.join(site, 'stray'), '');
  fs.chmodSync(path.join(site, 'user/INBOX'), 0);
  process.seteuid?.(NOBODY);
  const { skipped, unreadable } = readShape([site]);
  process.seteuid?.(0);
  fs.rmSync(site, { recursive: true });
  expect({ skipped, unreadable }).toEqual({ skipped: 1, unreadable: 1 });
});

it('follows no symbolic link, and counts what it left out', () => {
  expect(shape.skipped).toBe(1);
  expect(shape.sizes.every(({ low }) => low > 1)).toBe(true);
});

it('has every message in a class of its size', () => {
  expect(shape.sizes.reduce((sum, { count }) => sum + count, 0)).toBe(800);
  for (const { low, high } of shape.sizes) expect(high / low).toBeLessThan(1.5);
});

it('samples bare LF and deleted uids', () => {
  expect(shape.bareLf.sampled).toBe(400);
  expect(shape.bareLf.found / 400).toBeGreaterThan(0.35);
  expect(shape.bareLf.found / 400).toBeLessThan(0.65);
  expect(shape.gaps.sampled).toBe(32);
  expect(shape.gaps.share).toBeGreaterThan(0.4);
  expect(shape.gaps.share).toBeLessThan(0.6);
});

it('takes a store path as well as an instance, and each once', () => {
  const { seconds: _seconds, ...found } = readShape([made.storePaths[0]!, made.instance]);
  const { seconds: _other, ...known } = shape;
  expect(found).toEqual(known);
});

it('scales down to as many messages, in folders as full as the given ones', () => {
  const small = scaledDown(shape, 'seed', 200);
  expect(small.messages).toBe(200);
  expect(small.users * small.foldersEach).toBe(8);
  expect(small.counts!.every((count) => count === 25)).toBe(true);
  expect(small.singleCopy).toBeCloseTo(made.links / 800, 6);
});

it('makes probes lighter, or with more folders', () => {
  const plain = scaledDown(shape, 'seed', 200);
  expect(scaledDown(shape, 'seed', 200, { lighter: 4 }).sizeClasses[0]!.low).toBe(plain.sizeClasses[0]!.low / 4);
  const more = scaledDown(shape, 'seed', 200, { moreFolders: 4 });
  expect(more.users * more.foldersEach).toBe(32);
  expect(more.messages).toBeGreaterThan(180);
});

it('keeps a giant folder giant', () => {
  const giant = { ...shape, folders: 10, messages: 10_090, folderSizes: [...new Array<number>(9).fill(10), 10_000] };
  const counts = scaledDown(giant, 'seed', 10_000).counts!;
  expect(Math.max(...counts) / counts.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0.9);
});

it('takes the store path of an instance as the reader of NscpMail.conf does: blanks are those of ASCII', () => {
  const instance = path.join(work, 'msg-other');
  const mail = path.join(work, 'citt\u00e0\u00a0');
  fs.mkdirSync(path.join(instance, 'config'), { recursive: true });
  fs.mkdirSync(mail);
  fs.writeFileSync(path.join(instance, 'config/NscpMail.conf'), `Version: 3.6\r\n mailboxdirectory : ${mail} \r\n`);
  expect(readShape([instance]).storePaths).toEqual([mail]);
});
