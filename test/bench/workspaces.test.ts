/** Disks are made once where what all rounds leave has room, and their room counts it. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import { expect, it } from 'vitest';
import { type Part, PLAIN_STORE } from '../../bench/plan.js';
import { type Settings, settingsOf, UsageError } from '../../bench/settings.js';
import { partRoom } from '../../bench/stores.js';
import { disksOf } from '../../bench/workspaces.js';

const WARM = { cold: false, across: false } as const;
const MIGRATION = { ...WARM, engine: 'native', threads: 2, remove: false } as const;

const PART: Part = {
  name: 'store',
  store: { ...PLAIN_STORE, messages: 1000 },
  disks: [0],
  competitors: [],
  floors: [],
  conditions: [WARM],
  migrations: [MIGRATION],
};

function settings(rounds: number): Settings {
  return settingsOf(['--dir', os.tmpdir(), '--rounds', String(rounds)])!;
}

/** Bytes that each round after the first adds. */
function added(more: Partial<Part>): { disk: number; across: number } {
  const [one, three] = [1, 3].map((rounds) => partRoom({ ...PART, ...more }, rounds));
  const of = (place: 'disk' | 'across') => (three![place].bytes - one![place].bytes) / 2;
  return { disk: of('disk'), across: of('across') };
}

it('counts the copies of all rounds, and the messages that are made anew in each', () => {
  const store = partRoom(PART, 1).disk.bytes;
  expect(added({})).toEqual({ disk: 0, across: 0 });
  expect(added({ competitors: ['cat'] }).disk).toBe(0);
  expect(added({ competitors: ['cp -a', 'rsync -a'] }).disk).toBeCloseTo(2 * store, 0);
  expect(added({ migrations: [MIGRATION, { ...MIGRATION, remove: true }] }).disk).toBeCloseTo(store, 0);
  expect(added({ migrations: [{ ...MIGRATION, across: true }] }).across).toBeCloseTo(store, 0);
  const linked = added({ competitors: ['cp -al'], floors: [1, 2] }).disk;
  expect(linked).toBeGreaterThan(0);
  expect(linked).toBeLessThan(store / 2);
});

it('takes new disks in each round only when all rounds do not fit on the same', () => {
  const part = { ...PART, competitors: ['cp -a'] };
  expect(disksOf(settings(2), [part, part]).lacking).toBeNull();
  const { bavail, bsize } = fs.statfsSync(os.tmpdir());
  const tooMany = Math.ceil((bavail * bsize) / added(part).disk) + 1;
  const disks = disksOf(settings(tooMany), [part]);
  expect(disks.lacking).toContain('GB free and this needs');
  const space = disks.open(part);
  expect(fs.readdirSync(space.disks[0]!.path)).toEqual([]);
  space.remove();
});

it('refuses a part that does not fit even for one round', () => {
  const huge = { ...PART, store: { ...PART.store, messages: 1e12 } };
  expect(() => disksOf(settings(1), [huge]).open(huge)).toThrow('fewer --messages');
});

it('counts a file for each message of a store and of a copy, and few for links', () => {
  const inodes = (more: Partial<Part>) => partRoom({ ...PART, ...more }, 1).disk.inodes;
  expect(inodes({})).toBeGreaterThan(1000);
  // A store for the migration, one to compete on, and the copy.
  expect(inodes({ competitors: ['cp -a'] })).toBeCloseTo(3 * inodes({}), 0);
  expect(inodes({ competitors: ['cp -al'] }) - 2 * inodes({})).toBeLessThan(500);
});

it('refuses partitions on the file system of their store path', () => {
  const here = ['--dir', os.tmpdir(), '--partition-dir', os.tmpdir()];
  expect(() => disksOf(settingsOf(here)!, [PART])).toThrow(UsageError);
});
