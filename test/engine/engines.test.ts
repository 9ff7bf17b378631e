import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadAddon } from '../../src/fs/addon.js';

/** Loads the modules anew: which addon there is is found out once a process. */
async function freshEngines() {
  vi.resetModules();
  return await import('../../src/engine/engines.js');
}

describe('selectEngine', () => {
  let named: string | undefined;
  beforeEach(() => {
    named = process.env.MAILHAUL_ADDON;
  });
  afterEach(() => {
    if (named === undefined) delete process.env.MAILHAUL_ADDON;
    else process.env.MAILHAUL_ADDON = named;
  });

  it('takes the portable engine when asked, and when there is no addon', async () => {
    process.env.MAILHAUL_ADDON = 'none';
    const { selectEngine } = await freshEngines();
    expect((await selectEngine('portable')).name).toBe('portable');
    expect((await selectEngine('auto')).name).toBe('portable');
  });

  it('refuses when the addon is asked for and cannot be loaded, and says how to build it', async () => {
    for (const missing of ['none', '/nonexistent/mailhaul.node']) {
      process.env.MAILHAUL_ADDON = missing;
      const { selectEngine } = await freshEngines();
      await expect(selectEngine('native')).rejects.toMatchObject({
        code: 'ENGINE_NATIVE_MISSING',
        hint: expect.stringContaining('npm run build:native'),
      });
    }
  });

  it('takes the addon when it is there', async (ctx) => {
    if (loadAddon() === undefined) {
      const reason = 'the native addon is not built: run `node native/build.mjs`';
      console.log(`skipped, ${ctx.task.name}: ${reason}`);
      return ctx.skip(reason);
    }
    const { selectEngine } = await freshEngines();
    expect((await selectEngine('auto')).name).toBe('native');
    expect((await selectEngine('native')).name).toBe('native');
  });

  it('leaves the checksums ready to use', async () => {
    const { selectEngine } = await freshEngines();
    const { digest } = await import('../../src/store/digest.js');
    expect(() => digest(new Uint8Array(1))).toThrow(expect.objectContaining({ code: 'DIGEST_NOT_LOADED' }));
    await selectEngine('portable');
    expect(digest(new Uint8Array(1)).length).toBe(16);
  });
});
