/** Shapes that benchmarks ask of the generator: what lies on disk must be what was asked for. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type GenerateOptions, generateInstallation, type Installation, removeInstallation } from './generate.js';

let work = '';
beforeAll(() => {
  work = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-generate-'));
});
afterAll(() => {
  removeInstallation(work);
});

const SOUND = { damage: 0, bareLf: 0, singleCopy: 0, hostileNames: 0, nested: 0, manifest: false } as const;

function make(name: string, options: Partial<GenerateOptions>): Installation {
  return generateInstallation({ ...SOUND, root: path.join(work, name), storePaths: 1, ...options });
}

const join = (directory: Buffer, name: Buffer) => Buffer.concat([directory, Buffer.from('/'), name]);

/** The messages of each folder; names are bytes. */
function folders({ storePaths }: Installation): fs.Stats[][] {
  const found: fs.Stats[][] = [];
  const visit = (directory: Buffer) => {
    const names = fs.readdirSync(directory, { encoding: 'buffer' });
    const visible = names.filter((name) => name[0] !== 0x2e).map((name) => join(directory, name));
    const entries = visible.map((at) => ({ at, stat: fs.lstatSync(at) }));
    if (names.some((name) => name.toString('latin1') === '.mailbox')) {
      found.push(entries.filter(({ stat }) => stat.isFile()).map(({ stat }) => stat));
    }
    for (const { at, stat } of entries) if (stat.isDirectory()) visit(at);
  };
  for (const storePath of storePaths) visit(Buffer.from(storePath));
  return found;
}

it('gives the first folder half of all messages', () => {
  const sizes = folders(make('giant', { users: 5, folders: 2, messages: 200, spread: 'giant' })).map(
    ({ length }) => length,
  );
  expect(Math.max(...sizes)).toBe(100);
  expect(sizes.reduce((sum, count) => sum + count, 0)).toBe(200);
});

it('gives each folder the number of messages that is asked for', () => {
  const counts = [3, 0, 7, 1];
  const sizes = folders(make('counts', { users: 2, folders: 2, counts })).map(({ length }) => length);
  expect(sizes.sort()).toEqual([...counts].sort());
});

it('refuses counts that do not name every folder', () => {
  expect(() => make('wrong', { users: 2, folders: 2, counts: [1] })).toThrow('counts');
});

it('leaves out the uids of deleted messages', () => {
  const made = make('gaps', { users: 1, folders: 1, messages: 400, gaps: 0.5 });
  const [header, ...lines] = fs
    .readFileSync(path.join(made.storePaths[0]!, fs.readdirSync(made.storePaths[0]!)[0]!, 'INBOX/.mailbox'), 'latin1')
    .trim()
    .split('\n');
  const uids = lines.map((line) => Number(line.split(' ')[0]));
  expect(uids).toHaveLength(400);
  expect(uids.at(-1)! / 400).toBeGreaterThan(1.7);
  expect(uids.at(-1)! / 400).toBeLessThan(2.4);
  expect(Number(header!.split(' ')[3])).toBeGreaterThan(uids.at(-1)!);
});

it('makes one inode for all recipients of a message', () => {
  const made = make('recipients', { users: 8, folders: 1, messages: 80, spread: 'even', recipients: 4 });
  const messages = folders(made).flat();
  expect(messages).toHaveLength(80);
  expect(new Set(messages.map(({ ino }) => ino)).size).toBe(20);
  expect(new Set(messages.map(({ nlink }) => nlink))).toEqual(new Set([4]));
});

it('makes a tail of attachments of 1 to 20 MiB', () => {
  const made = make('mail', { users: 1, folders: 1, messages: 60, sizes: 'mail', attachments: 0.1, size: 4096 });
  const large = folders(made)
    .flat()
    .map(({ size }) => size)
    .filter((size) => size > 2 ** 20);
  expect(large.length).toBeGreaterThan(0);
  expect(large.length).toBeLessThan(20);
  expect(Math.max(...large)).toBeLessThan(21 * 2 ** 20);
});

it('takes sizes from classes by their weight', () => {
  const sizeClasses = [
    { low: 4000, high: 5000, weight: 3 },
    { low: 50_000, high: 60_000, weight: 1 },
  ];
  const sizes = folders(make('classes', { users: 1, folders: 1, messages: 200, sizes: 'classes', sizeClasses }))
    .flat()
    .map(({ size }) => size);
  const large = sizes.filter((size) => size > 40_000).length;
  expect(large).toBeGreaterThan(25);
  expect(large).toBeLessThan(80);
  expect(Math.max(...sizes)).toBeLessThan(61_000);
});
