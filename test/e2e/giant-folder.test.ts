/** A folder that several threads move together. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { engineOptions, makeTestSite, type Result, reportOf, type TestSite } from '../support/site.js';

/** Two threads can share it from 16,384 on, by what the size of its index tells. */
const MESSAGES = 16_500;
/** An effective call in the middle: links, 165 directories, the index. */
const IN_THE_MIDDLE = 'kill:8000';

describe.skipIf(!engineOptions().includes('--native'))('one giant folder on three threads (native engine)', () => {
  /** The same store each time, by its seed; `-s` is done. */
  function withSite<T>(use: (site: TestSite) => T): T {
    const site = makeTestSite({
      users: 1,
      folders: 1,
      messages: MESSAGES,
      size: 200,
      damage: 0,
      singleCopy: 0,
      manifest: false,
    });
    try {
      expect(site.folders().status).toBe(0);
      return use(site);
    } finally {
      site.remove();
    }
  }

  const messages = (site: TestSite, threads: number): Result =>
    site.run('upgrade', '-m', '--native', '-t', String(threads), '--json');

  function digestOfIndex(site: TestSite): string {
    const found = spawnSync('find', [site.root, '-name', 'store.idx', '-size', '+1M'], { encoding: 'utf8' });
    const [path = '', ...more] = found.stdout.trim().split('\n');
    expect(more).toEqual([]);
    return createHash('sha256').update(fs.readFileSync(path)).digest('hex');
  }

  const byOneThread = withSite((site) => {
    expect(reportOf(messages(site, 1)).messages).toEqual({ done: MESSAGES, failed: 0 });
    return digestOfIndex(site);
  });

  it('has the index that one thread makes, also when it was killed in the middle and is run again', () => {
    withSite((site) => {
      process.env.MAILHAUL_FAULT = IN_THE_MIDDLE;
      const killed = messages(site, 3);
      delete process.env.MAILHAUL_FAULT;
      expect(killed.signal).toBe('SIGKILL');
      expect(reportOf(messages(site, 3)).messages).toEqual({ done: MESSAGES, failed: 0 });
      expect(digestOfIndex(site)).toBe(byOneThread);
    });
  });
});
