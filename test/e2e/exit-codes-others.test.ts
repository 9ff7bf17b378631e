/** The exit codes of `configutil`, `mboxutil`, `hashdir` and `msg-setup`; those of `upgrade` are in exit-codes.test.ts. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { INDEX, needRoot } from '../upgrade/small-store.js';
import { expectRefused, newSite, upgraded } from './exit-codes-site.js';
import { type HandSite, handSite, putMail } from './hand-site.js';
import { run } from './loop.js';

describe('the other commands', () => {
  let made: HandSite;
  beforeAll(() => {
    made = handSite();
    made.store.user('fred');
    putMail(made.store.folder(made.store.mailbox, 'fred', 'INBOX', `${INDEX(7, 2)}1 9 - 1 one\n`), 'one');
    made.store.finish();
    if (made.folders().status !== 0 || made.messages().status !== 0) throw new Error('the store was not migrated');
  });
  afterAll(() => made?.remove());

  it.each([
    ['configutil', []],
    ['configutil', ['-p', 'store.']],
    ['configutil', ['-e']],
    ['configutil', ['-o', 'store.partition.primary.path']],
    ['configutil', ['-o', 'service.imap.banner', '-v', 'hello']],
    ['configutil', ['-o', 'service.imap.banner', '-v', '']],
    ['mboxutil', ['-l']],
    ['mboxutil', ['-l', '--json']],
    ['mboxutil', ['--dump']],
    ['mboxutil', ['--dump', 'user/fred/INBOX', '--json']],
    ['hashdir', ['fred']],
    ['hashdir', ['-a', 'fred']],
    ['msg-setup', []],
  ] as const)('%s %j ends with 0', (name, args) => {
    const result = made.run(name, ...args);
    expect([result.status, result.stderr]).toEqual([0, '']);
  });

  it.each([
    ['configutil', ['-o', 'no.such.option']],
    ['mboxutil', ['--dump', 'user/nobody/INBOX']],
  ] as const)('%s %j ends with 1: that one is not there', (name, args) => {
    expectRefused(made.run(name, ...args), 1, /CONF_NOT_SET|MBOX_MISSING/);
  });

  it('configutil -i ends with 1 when a line is wrong, and takes the others', () => {
    const file = path.join(made.store.root, 'options');
    fs.writeFileSync(file, 'service.pop.banner|hi\nrubbish\n');
    const result = made.run('configutil', '-i', file);
    expect([result.status, result.stderr]).toEqual([1, expect.stringMatching(/CONF_LINE.*options:2/)]);
    expect(made.run('configutil', '-o', 'service.pop.banner').stdout.trim()).toBe('hi');
  });

  it('mboxutil --dump ends with 1 when an index is damaged, and shows the other mailboxes', () => {
    const own = upgraded(({ store }) => {
      store.user('anna');
      putMail(store.folder(store.mailbox, 'anna', 'INBOX', `${INDEX(8, 2)}1 9 - 1 one\n`), 'one');
    });
    expect(own.messages().status).toBe(0);
    fs.truncateSync(path.join(own.mailbox('user/fred/INBOX').path ?? '', 'store.idx'), 50);
    const result = own.run('mboxutil', '--dump', '--json');
    expect([result.status, result.stderr]).toEqual([1, expect.stringContaining('user/fred/INBOX')]);
    expect(result.stdout).toContain('user/anna/INBOX');
  });

  it.each([
    ['configutil', ['-v', 'x']],
    ['configutil', ['-o', 'x.y', '-p', 'x']],
    ['configutil', ['-o']],
    ['mboxutil', []],
    ['mboxutil', ['-l', '--dump']],
    ['mboxutil', ['--dump', '-x']],
    ['mboxutil', ['-l', 'operand']],
    ['hashdir', []],
    ['hashdir', ['a', 'b']],
    ['hashdir', ['a/b']],
    ['msg-setup', ['operand']],
  ] as const)('%s %j ends with 2', (name, args) => {
    const result = made.run(name, ...args);
    expect([result.status, result.stdout]).toEqual([2, '']);
  });

  it('configutil ends with 3 for the path of a partition that holds mail, and changes nothing', () => {
    const option = 'store.partition.primary.path';
    const before = made.run('configutil', '-o', option).stdout;
    expectRefused(made.run('configutil', '-o', option, '-v', '/elsewhere'), 3, /primary/);
    expect(made.run('configutil', '-o', option).stdout).toBe(before);
  });

  it('mboxutil ends with 3 before -s has run', () => {
    const own = newSite();
    expect(own.run('msg-setup', '--from', own.store.from).status).toBe(0);
    expectRefused(own.run('mboxutil', '-l'), 3, /DB_MISSING/);
  });

  it('msg-setup ends with 3 for an account that does not exist, and makes nothing', () => {
    const own = newSite();
    const result = own.run(
      'msg-setup',
      '--host-name',
      'mail.example.com',
      '--server-user',
      'no-such-account',
      '--server-group',
      'mail',
    );
    expectRefused(result, 3, /no-such-account/);
    expect(fs.existsSync(own.store.instance)).toBe(false);
  });

  it('msg-setup ends with 4 when the disk is full, and completes the instance when it is run again', (ctx) => {
    needRoot(ctx);
    const own = newSite();
    const server = path.dirname(own.store.instance);
    fs.mkdirSync(server);
    run('mount', '-t', 'tmpfs', '-o', 'size=4k,mode=755', 'tmpfs', server);
    try {
      fs.writeFileSync(path.join(server, 'fill'), Buffer.alloc(4096));
      expectRefused(own.run('msg-setup', '--from', own.store.from), 4, /DISK_FULL/);
      fs.unlinkSync(path.join(server, 'fill'));
      run('mount', '-o', 'remount,size=20m', server);
      expect(own.run('msg-setup', '--from', own.store.from).status).toBe(0);
      expect(own.folders().status).toBe(0);
    } finally {
      run('umount', server);
    }
  });

  it('configutil ends with 4 when the disk is full, and the old options stay', (ctx) => {
    needRoot(ctx);
    const own = upgraded();
    const full = path.join(own.store.root, 'full');
    fs.mkdirSync(full);
    run('mount', '-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', full);
    try {
      const file = path.join(full, 'configdb');
      expect(own.run('configutil', '-f', file, '-o', 'a.b', '-v', 'kept').status).toBe(0);
      const input = path.join(own.store.root, 'large');
      fs.writeFileSync(input, Array.from({ length: 900 }, (_, i) => `a.c${i}|${'x'.repeat(60)}\n`).join(''));
      expectRefused(own.run('configutil', '-f', file, '-i', input), 4, /ENOSPC|full|space/i);
      expect(own.run('configutil', '-f', file, '-o', 'a.b').stdout.trim()).toBe('kept');
    } finally {
      run('umount', full);
    }
  });
});
