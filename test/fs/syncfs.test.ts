import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { INSIDE } from '../support/process.js';

let directory = '';
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-syncfs-'));
});
afterAll(() => fs.rmSync(directory, { recursive: true }));

/** Runs a script that syncs the file system of the directory, without the addon; prints the outcome. */
function sync(before: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const script = `
    import { openSync } from 'node:fs';
    const { syncFileSystem } = await import(${INSIDE});
    await syncFileSystem(openSync(${JSON.stringify(directory)}, 'r')).then(
      () => console.log('synced'),
      (error) => console.log(error.code, error.message),
    );`;
  const argv = [...before, process.execPath, '--input-type=module', '-e', script];
  return spawnSync(argv[0] ?? '', argv.slice(1), {
    encoding: 'utf8',
    env: { ...process.env, MAILHAUL_ADDON: 'none', ...env },
  });
}

describe('syncFileSystem without the addon', () => {
  it('makes one syncfs call, for the file system of the descriptor', (context) => {
    if (spawnSync('strace', ['-V']).status !== 0) {
      console.log('skipped: strace is not installed');
      context.skip('strace is not installed');
    }
    const result = sync(['strace', '-f', '-y', '-e', 'trace=syncfs', '-qq']);
    expect(result.stdout).toBe('synced\n');
    expect(result.stderr.match(/syncfs\(.*= 0/g)).toHaveLength(1);
    expect(result.stderr).toContain(`<${directory}>`);
  });

  it('says when there is no sync(1)', () => {
    expect(sync([], { PATH: directory }).stdout).toContain('SYNC_UNAVAILABLE');
  });

  it('says when the device refuses', () => {
    const script = '#!/bin/sh\necho "sync: error syncing: Input/output error" >&2\nexit 1\n';
    fs.writeFileSync(path.join(directory, 'sync'), script, { mode: 0o755 });
    expect(sync([], { PATH: directory }).stdout).toContain('SYNC_FAILED');
    expect(sync([], { PATH: directory }).stdout).toContain('Input/output error');
  });
});

describe('whether syncfs tells of lost pages', () => {
  it.each([
    ['6.18.44-fc', true, true],
    ['5.8', true, true],
    ['5.10.0-28-amd64', true, true],
    ['10.0.0', true, true],
    ['5.7.19', true, false],
    ['4.18.0-553.el8_10.x86_64', true, false],
    ['unreadable', true, false],
    ['', true, false],
    ['6.18.44-fc', false, false],
  ])('of Linux %j, addon %j: %j', async (release, addon, tells) => {
    vi.resetModules();
    vi.doMock('node:os', async (importOriginal) => ({
      ...(await importOriginal<typeof os>()),
      release: () => release,
    }));
    vi.doMock('../../src/fs/addon.js', () => ({ loadAddon: () => (addon ? {} : undefined) }));
    try {
      const { syncfsTells } = await import('../../src/fs/syncfs.js');
      expect(syncfsTells()).toBe(tells);
    } finally {
      vi.doUnmock('node:os');
      vi.doUnmock('../../src/fs/addon.js');
    }
  });
});
