/** Files are synced one by one where the sync of the file system does not tell of lost pages: without the addon. */
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { beforeEach, expect, it, vi } from 'vitest';
import type { NativeAddon } from '../../../src/fs/addon.js';
import type { Effect } from '../../../src/fs/seam.js';
import { loadDigest } from '../../../src/store/digest.js';
import { type TestFolder, withFolder } from './folder.js';
import { BARE_LF, engine, MESSAGE, methodsOf } from './support.js';

const hook = vi.hoisted(() => ({
  addon: false,
  effects: [] as Effect[],
  /** Which sync fails; 0 for none. */
  failing: 0,
}));
vi.mock('node:os', async (importOriginal) => ({
  ...(await importOriginal<typeof import('node:os')>()),
  release: () => '5.8.0-generic',
}));
vi.mock('../../../src/fs/addon.js', () => ({
  loadAddon: () => (hook.addon ? ({} as NativeAddon) : undefined),
}));
vi.mock('../../../src/fs/seam.js', async (importOriginal) => ({
  ...(await importOriginal<typeof import('../../../src/fs/seam.js')>()),
  effect(kind: Effect) {
    hook.effects.push(kind);
    if (kind !== 'sync' || hook.effects.filter((made) => made === 'sync').length !== hook.failing) return;
    throw Object.assign(new Error('EIO: lost'), { code: 'EIO', errno: -constants.errno.EIO, syscall: 'fsync' });
  },
}));

beforeEach(async () => {
  await loadDigest();
  Object.assign(hook, { addon: false, effects: [], failing: 0 });
});

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
