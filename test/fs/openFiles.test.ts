import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openFileLimit } from '../../src/fs/openFiles.js';

it('openFileLimit is what the shell says', () => {
  const { stdout } = spawnSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' });
  const hard = stdout.trim();
  expect(openFileLimit()).toBe(hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard));
});

it('openFileLimit reads a number, or none', () => {
  const place = mkdtempSync(join(tmpdir(), 'mailhaul-limits-'));
  const limits = join(place, 'limits');
  const of = (text: string): number => {
    writeFileSync(limits, text);
    return openFileLimit(limits);
  };
  try {
    expect(
      of('Limit   Soft   Hard\nMax processes  1  1\nMax open files            1024                 4096   files\n'),
    ).toBe(1024);
    expect(of('Max open files            unlimited            unlimited            files\n')).toBe(
      Number.POSITIVE_INFINITY,
    );
    expect(of('nothing\n')).toBe(Number.POSITIVE_INFINITY);
    expect(openFileLimit(join(place, 'absent'))).toBe(Number.POSITIVE_INFINITY);
  } finally {
    rmSync(place, { recursive: true });
  }
});
