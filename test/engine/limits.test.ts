/** Numbers beyond what 64 bits of nanoseconds and 32 bits of kilobytes hold, in both engines. */
import * as fs from 'node:fs';
import { beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { nativeEngine } from '../../src/engine/native/engine.js';
import { portableEngine } from '../../src/engine/portable/engine.js';
import { addKilobytes, kilobytesOf } from '../../src/engine/progress.js';
import type { FolderEngine } from '../../src/engine/types.js';
import { loadAddon } from '../../src/fs/addon.js';
import { loadDigest } from '../../src/store/digest.js';
import { withFolder } from './portable/folder.js';

const MESSAGE = `Subject: a\r\n\r\n${'x'.repeat(2_100)}\r\n`;

function engineOf(ctx: TestContext, name: 'portable' | 'native'): FolderEngine {
  if (name === 'portable') return portableEngine();
  const addon = loadAddon();
  if (addon !== undefined) return nativeEngine(addon);
  console.log(`skipped: ${ctx.task.name}: the native addon is not built`);
  return ctx.skip('the native addon is not built');
}

describe.each(['portable', 'native'] as const)('the %s engine', (name) => {
  beforeAll(loadDigest);

  it('knows a file again whose time is after 2262-04-11, which wraps in its record', (ctx) => {
    const engine = engineOf(ctx, name);
    withFolder((folder) => {
      folder.write('late', MESSAGE);
      fs.utimesSync(`${folder.source}/late`, 0, 9_300_000_000);
      if (fs.statSync(`${folder.source}/late`, { bigint: true }).mtimeNs < 2n ** 63n) {
        console.log(`skipped: ${ctx.task.name}: the file system holds no such times`);
        ctx.skip('the file system holds no such times');
      }
      const output = engine.migrate(folder.input([{ uid: 1, name: 'late' }]));
      expect([[...output.errors], folder.targetFiles()]).toEqual([[0], expect.arrayContaining(['00/1.msg'])]);
    });
  });

  it('counts on after 4 TiB', (ctx) => {
    const engine = engineOf(ctx, name);
    withFolder((folder) => {
      folder.write('m', MESSAGE);
      const input = folder.input([{ uid: 1, name: 'm' }]);
      addKilobytes(input.progress, 2 ** 32 - 1);
      engine.migrate(input);
      expect(kilobytesOf(input.progress)).toBe(2 ** 32 + 1);
    });
  });
});
