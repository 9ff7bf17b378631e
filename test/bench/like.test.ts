/** A window of cold mail is predicted from what was measured cold, `upgrade -s` as well. */
import { expect, it } from 'vitest';
import { probes, windows } from '../../bench/like.js';
import { foldersRow, type Migration, messagesRow, type Sample } from '../../bench/plan.js';
import type { StoreShapeFound } from '../../bench/shape.js';
import { sampleOf } from './sample.js';

const SHAPE: StoreShapeFound = {
  storePaths: ['/mail'],
  users: 10,
  folders: 50,
  messages: 100_000,
  inodes: 100_000,
  bytes: 800_000_000,
  sizes: [{ low: 8000, high: 8000, count: 100_000 }],
  folderSizes: new Array<number>(50).fill(2000),
  bareLf: { sampled: 0, found: 0 },
  gaps: { sampled: 0, share: 0 },
  skipped: 0,
  unreadable: 0,
  seconds: 1,
};
const COLD: Migration = { engine: 'native', threads: 2, cold: true, across: false, remove: false };
const WARM: Migration = { ...COLD, cold: false };
const BASE = { competitors: [], floors: [], conditions: [], migrations: [COLD, WARM], disks: [0] };

/** `-s` takes 1 ms a folder warm and 20 cold, `-m` 10 µs a message and 50. */
function measured(migration: Migration): Sample[] {
  const [folder, message] = migration.cold ? [0.02, 50e-6] : [0.001, 10e-6];
  return probes(SHAPE, 10_000, 'seed', BASE).flatMap(({ name: part, store }) => {
    const folders = store.users * store.foldersEach;
    const of = { part, messages: store.messages, bytes: store.messages * 8000, folders };
    return [
      sampleOf({ ...of, name: foldersRow(migration), kind: 'folders', seconds: folder * folders }),
      sampleOf({ ...of, name: messagesRow(migration), kind: 'messages', seconds: message * store.messages }),
    ];
  });
}

it('predicts each window from rows of its own conditions', () => {
  const [cold, warm] = windows([[...measured(COLD), ...measured(WARM)]], [COLD, WARM], SHAPE);
  expect(cold!.folders.seconds).toBeCloseTo(50 * 0.02, 3);
  expect(warm!.folders.seconds).toBeCloseTo(50 * 0.001, 3);
  expect(cold!.messages.seconds).toBeCloseTo(5, 1);
  expect(warm!.messages.seconds).toBeCloseTo(1, 1);
});

it('says how far it extrapolates, of -s too', () => {
  const [cold] = windows([measured(COLD)], [COLD], SHAPE);
  expect(cold!.messages.extrapolation).toBeCloseTo(10, 1);
  expect(cold!.folders.extrapolation).toBeCloseTo(10, 1);
});

it('has one store more than there are costs, so that what the fit leaves is seen', () => {
  expect(probes(SHAPE, 10_000, 'seed', BASE)).toHaveLength(5);
});

it('says that nothing could be read where it found nothing', () => {
  const nothing = { ...SHAPE, messages: 0, folders: 0, folderSizes: [], unreadable: 7 };
  expect(() => probes(nothing, 10_000, 'seed', BASE)).toThrow('7 directories could not be read');
});
