/**
 * Shared messages that have to be written anew stay shared (4x-store.md, promise 5), also when `-r` takes one name of
 * the 3.x file before another folder comes to it. Found by the power loss campaign (test/campaign/power).
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { type HandSite, handSite, putMail } from '../e2e/hand-site.js';
import { commandFile } from '../support/process.js';
import { engineOptions, makeTestSite, type TestSite } from '../support/site.js';
import { INDEX } from './small-store.js';

let site: TestSite | undefined;
let hand: HandSite | undefined;

afterEach(() => {
  site?.remove();
  hand?.remove();
  site = hand = undefined;
});

for (const engine of engineOptions()) {
  it(`-r keeps a rewritten message in one copy when its folders are migrated one after the other ${engine}`, () => {
    const made = makeTestSite({ damage: 0, storePaths: 1, singleCopy: 0.6, bareLf: 1, messages: 80 });
    site = made;
    expect(made.folders().status).toBe(0);
    for (const options of [['-i'], []]) {
      const result = made.messages(engine, '-r', ...options);
      expect(result.status, result.stdout).toBe(0);
    }
    const partition = path.join(made.instance, 'store/partition/primary');
    const files = fs
      .readdirSync(partition, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.msg'));
    const inodesByContent = new Map<string, Set<number>>();
    for (const name of files) {
      const file = path.join(partition, name);
      const digest = createHash('sha256').update(fs.readFileSync(file)).digest('hex');
      inodesByContent.set(digest, (inodesByContent.get(digest) ?? new Set()).add(fs.statSync(file).ino));
    }
    expect(files.length).toBeGreaterThan(inodesByContent.size + 10);
    expect([...inodesByContent.values()].filter((inodes) => inodes.size > 1)).toEqual([]);
  });

  it(`a shared copy on a bad block is replaced by a new one, ${engine}`, (ctx) => {
    if (spawnSync('strace', ['-V']).status !== 0) {
      console.log(`skipped: ${ctx.task.name}: strace is not installed`);
      ctx.skip('strace is not installed');
    }
    const made = handSite();
    hand = made;
    const { store } = made;
    store.user('anna');
    const [inbox = '', sent = ''] = ['INBOX', 'Sent'].map((name) =>
      store.folder(store.mailbox, 'anna', name, `${INDEX(7, 2)}1 9 - 13 m\n`),
    );
    fs.linkSync(putMail(inbox, 'm', 'Subject: x\n\n'), path.join(sent, 'm'));
    store.finish();
    expect(made.folders().status).toBe(0);
    expect(made.messages(engine, '-i').status).toBe(0);
    const registry = path.join(store.instance, 'store/partition/primary/=single');
    const copy = path.join(registry, fs.readdirSync(registry)[0] ?? '');
    const badBlock = ['-f', '-qq', '-o', '/dev/null', '-P', copy, '-e', 'inject=read,pread64,preadv2:error=EIO'];
    const upgrade = [commandFile('upgrade'), '-m', '-t', '1', '--json', engine, '--instance', store.instance];
    const result = spawnSync('strace', [...badBlock, process.execPath, ...upgrade], { encoding: 'utf8' });
    expect(result.status, result.stdout + result.stderr).toBe(0);
    const files = ['INBOX', 'Sent'].map((name) => path.join(made.mailbox(`user/anna/${name}`).path ?? '', '00/1.msg'));
    expect(new Set(files.map((file) => fs.readFileSync(file, 'latin1')))).toEqual(new Set(['Subject: x\r\n\r\n']));
    expect(new Set(files.map((file) => fs.statSync(file).ino)).size).toBe(2);
  });
}
