/** Files are synced one by one where the sync of the file system does not tell of lost pages: without the addon. */
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { NativeAddon } from '../../../src/fs/addon.js';
import { armPace, makePace, pacedOf, setLimits } from '../../../src/fs/pace.js';
import type { Effect } from '../../../src/fs/seam.js';
import { loadDigest } from '../../../src/store/digest.js';
import { type TestFolder, withFolder } from './folder.js';
import { BARE_LF, engine, MESSAGE, methodsOf } from './support.js';

const hook = vi.hoisted(() => ({
  addon: false,
  effects: [] as Effect[],
  before: undefined as ((kind: Effect) => void) | undefined,
  /** Which sync fails; 0 for none. */
  failing: 0,
}));
vi.mock('node:os', async (importOriginal) => ({
  ...(await importOriginal<typeof import('node:os')>()),
  release: () => '5.8.0-generic',
}));
vi.mock('../../../src/fs/addon.js', () => ({
  loadAddon: () => (hook.addon ? ({ setPace() {}, startPacing() {} } as Partial<NativeAddon>) : undefined),
}));
vi.mock('../../../src/fs/seam.js', async (importOriginal) => ({
  ...(await importOriginal<typeof import('../../../src/fs/seam.js')>()),
  effect(kind: Effect) {
    hook.effects.push(kind);
    hook.before?.(kind);
    if (kind !== 'sync' || hook.effects.filter((made) => made === 'sync').length !== hook.failing) return;
    throw Object.assign(new Error('EIO: lost'), { code: 'EIO', errno: -constants.errno.EIO, syscall: 'fsync' });
  },
}));

beforeEach(async () => {
  await loadDigest();
  Object.assign(hook, { addon: false, effects: [], before: undefined, failing: 0 });
});

afterEach(() => armPace(null, Int32Array.of(1)));

/** One message that is linked and one that is rewritten. */
function migrate(folder: TestFolder) {
  folder.write('linked', MESSAGE);
  folder.write('rewritten', BARE_LF);
  const rows = ['linked', 'rewritten'].map((name, i) => ({ uid: i + 1, name }));
  return engine.migrate(folder.input(rows));
}

/** The calls that make files, in order, writes in a row as one. */
function made(): string {
  const kinds = hook.effects.filter((kind) => ['link', 'write', 'sync', 'rename'].includes(kind));
  return kinds.join(' ').replace(/write( write)+/g, 'write');
}

it('what is written is synced before it gets its name; what is linked is not', () =>
  withFolder((folder) => {
    expect(methodsOf(migrate(folder))).toEqual(['link', 'rewrite']);
    expect(made()).toBe('link write sync rename write sync rename');
  }));

it('nothing is synced one by one where syncfs tells', () =>
  withFolder((folder) => {
    hook.addon = true;
    migrate(folder);
    expect(made()).toBe('link write rename write rename');
  }));

it.each([
  ['message', 1, ['00/1.msg']],
  ['index', 2, ['00/1.msg', '00/2.msg']],
])('a failed sync of the %s halts as a failed write does, and the file is gone', (_what, failing, left) =>
  withFolder((folder) => {
    hook.failing = failing;
    const output = migrate(folder);
    expect(output.halt).toEqual({ errno: constants.errno.EIO, call: 'fsync', side: 'target' });
    expect(output.summary).toBeNull();
    expect(folder.targetFiles()).toEqual(left);
    expect(fs.readdirSync(folder.source).sort()).toEqual(['linked', 'rewritten']);
  }),
);

it('under a limit what is written goes to the disk by the MiB, in pieces that are paid for one by one', () =>
  withFolder((folder) => {
    const pace = makePace();
    setLimits(pace, { bytes: 1, operations: 0 });
    // Ended before it began: nobody waits, and everything is booked.
    armPace(pace, Int32Array.of(1));
    hook.addon = true;
    const large = `Subject: x\n\n${'x'.repeat(3 << 20)}\n`;
    folder.write('large', large);
    const piece = 256 * 1024;
    const unpaid: number[] = [];
    let moved = large.length;
    hook.before = (kind) => {
      if (kind !== 'write') return;
      unpaid.push(moved - pacedOf(pace).bytes);
      moved += piece;
    };
    expect(methodsOf(engine.migrate(folder.input([{ uid: 1, name: 'large' }])))).toEqual(['rewrite']);
    const kinds = hook.effects.filter((kind) => ['write', 'sync', 'rename'].includes(kind)).join(' ');
    const mebibyte = 'write write write write sync';
    expect(kinds).toMatch(new RegExp(`^${mebibyte} ${mebibyte} ${mebibyte} write rename`));
    expect(Math.max(...unpaid.slice(0, 13))).toBeLessThan(piece);
  }));
