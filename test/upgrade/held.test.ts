import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { heldDirectories } from '../../src/engine/heldDirectories.js';
import { heldFolders, readAheadBatch } from '../../src/upgrade/held.js';
import { engineOptions } from '../support/site.js';
import { INDEX, type SmallStore, smallStore } from './small-store.js';

const PROGRAM = fileURLToPath(new URL('../../dist/cli/upgrade.js', import.meta.url));

const held = (limit: number, threads = 5, partitions = 1, stores = 1) => {
  const roots = {
    stores: new Map(Array.from({ length: stores }, (_, i) => [`${i}`, {} as never])),
    partitions: new Map(Array.from({ length: partitions }, (_, i) => [`${i}`, {} as never])),
  };
  return heldFolders(limit, { options: { threads } as never, roots });
};
const filesOf = ({ underWay, moved }: ReturnType<typeof held>) => 3 * (underWay + moved);
/** What a thread opens of a folder, its hash directories, and two batches that it reads ahead. */
const filesOfThread = (limit: number, threads: number) =>
  24 + heldDirectories(limit) + 2 * readAheadBatch(limit, threads);

describe('heldFolders', () => {
  it('holds nothing back where there is no limit, or a high one', () => {
    expect(held(Number.POSITIVE_INFINITY)).toEqual({ underWay: 1_024, moved: 2_048 });
    expect(held(16_384)).toEqual({ underWay: 1_024, moved: 2_048 });
  });

  it('stays below the limit, and leaves room for threads and roots', () => {
    for (const limit of [512, 1_024, 2_048, 4_096, 8_192]) {
      expect(filesOf(held(limit))).toBeLessThan(limit - 5 * filesOfThread(limit, 5));
      expect(filesOf(held(limit, 5, 10, 50))).toBeLessThanOrEqual(filesOf(held(limit)) - 60);
      expect(filesOf(held(limit, 8))).toBeLessThan(filesOf(held(limit)));
    }
    expect(filesOf(held(4_096))).toBeGreaterThan(2_800);
  });

  it('takes a folder at a time where there is hardly any room', () => {
    expect(held(64)).toEqual({ underWay: 1, moved: 1 });
  });
});

describe('readAheadBatch', () => {
  it('is what the addon reads ahead: one table for both', () => {
    const table = fs.readFileSync(new URL('../../native/test/readahead_batches.inc', import.meta.url), 'utf8');
    const rows = [...table.matchAll(/^\{(\d+), (\d+), (\d+)\},$/gm)].map((row) => row.slice(1).map(Number));
    expect(rows.length).toBeGreaterThan(10);
    for (const [files = 0, threads = 0, batch] of rows) expect(readAheadBatch(files, threads)).toBe(batch);
    expect(readAheadBatch(Number.POSITIVE_INFINITY, 1)).toBe(64);
  });
});

describe('a run that may open few files', () => {
  let store: SmallStore;
  beforeEach(() => {
    store = smallStore();
  });
  afterEach(() => store.remove());

  const upgrade = (limit: number, ...args: string[]) =>
    spawnSync('prlimit', [`--nofile=${limit}`, process.execPath, PROGRAM, ...args, '--instance', store.instance], {
      encoding: 'utf8',
    });

  it('ends well, with more folders than it can hold', () => {
    const folders = 400;
    store.user('alice');
    for (let i = 0; i < folders; i++) {
      const folder = store.folder(store.mailbox, 'alice', i === 0 ? 'INBOX' : `INBOX/f${i}`, `${INDEX(7)}1 9 S 5 m\n`);
      fs.writeFileSync(`${folder}/m`, 'a: b\n');
    }
    store.finish();
    const first = upgrade(4_096, '-s', '--from', store.from, '--directory', store.ldif);
    expect(first.stderr).toBe('');
    const run = upgrade(256, '-m', '--json');
    expect(JSON.parse(run.stdout)).toMatchObject({ halted: null, folders: { done: folders, failed: 0 } });
  });

  it.each(engineOptions())('ends well, with more hash directories than it can hold, %s', (engine) => {
    const users = ['alice', 'bob', 'carol'];
    const uids = Array.from({ length: 150 }, (_, i) => (i + 1) * 100);
    for (const user of users) {
      store.user(user);
      const lines = uids.map((uid) => `${uid} 9 - 6 m${uid}\n`);
      const inbox = store.folder(store.mailbox, user, 'INBOX', INDEX(7, 20_000) + lines.join(''));
      for (const uid of uids) fs.writeFileSync(`${inbox}/m${uid}`, 'a: b\r\n', { mode: 0o600 });
    }
    store.finish();
    expect(upgrade(4_096, '-s', '--from', store.from, '--directory', store.ldif).stderr).toBe('');
    const run = upgrade(256, '-m', '--json', '-t', '3', engine);
    const done = { folders: users.length, messages: users.length * uids.length };
    expect(JSON.parse(run.stdout)).toMatchObject({
      halted: null,
      folders: { done: done.folders, failed: 0 },
      messages: { done: done.messages },
    });
  });
});
