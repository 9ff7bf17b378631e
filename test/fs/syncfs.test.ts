import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtModule } from '../support/process.js';

let directory = '';
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-syncfs-'));
});
afterAll(() => fs.rmSync(directory, { recursive: true }));

/** Runs a script that syncs the file system of the directory, without the addon; prints the outcome. */
function sync(before: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const script = `
    import { openSync } from 'node:fs';
    const { syncFileSystem } = await import(${builtModule('fs/syncfs')});
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
