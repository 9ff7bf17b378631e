import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { syncFileSystem } from '../../../src/engine/portable/syncfs.js';
import { withFolder } from './folder.js';

describe('syncFileSystem without the addon', () => {
  it('makes one syncfs call, for the file system of the descriptor', (ctx) => {
    if (spawnSync('strace', ['-V']).status !== 0) {
      console.log('skipped: strace is not installed');
      return ctx.skip('strace is not installed');
    }
    withFolder((folder) => {
      const fd = folder.open(folder.target);
      const result = spawnSync('strace', ['-f', '-y', '-e', 'trace=syncfs', 'sync', '-f', '/proc/self/fd/3'], {
        stdio: ['ignore', 'ignore', 'pipe', fd],
        encoding: 'utf8',
      });
      expect(result.stderr).toContain(`<${folder.target}>) = 0`);
    });
  });

  it('says when there is no sync(1), and when it fails', () =>
    withFolder((folder) => {
      const { PATH } = process.env;
      process.env.PATH = folder.root;
      try {
        const call = () => syncFileSystem(folder.open(folder.target));
        expect(call).toThrow(expect.objectContaining({ code: 'SYNC_UNAVAILABLE' }));
        fs.writeFileSync(
          `${folder.root}/sync`,
          '#!/bin/sh\necho "sync: error syncing: Input/output error" >&2\nexit 1\n',
          {
            mode: 0o755,
          },
        );
        expect(call).toThrow(expect.objectContaining({ code: 'SYNC_FAILED' }));
      } finally {
        process.env.PATH = PATH;
      }
    }));
});
