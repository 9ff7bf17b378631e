/** Trouble with a device stops its own folders and is told once; so are dead 3.x disks (upgrade/trouble.ts). */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, describe, expect, it, type TestContext } from 'vitest';
import { type HandSite, handSite, putMail } from '../e2e/hand-site.js';
import { run } from '../e2e/loop.js';
import { commandFile } from '../support/process.js';
import { engineOptions } from '../support/site.js';
import { ACCOUNT, INDEX, needRoot } from './small-store.js';

let site: HandSite | undefined;
let mounted: string | undefined;

afterEach(() => {
  if (mounted !== undefined) run('umount', mounted);
  mounted = undefined;
  site?.remove();
  site = undefined;
});

interface Report {
  readonly folders: { readonly done: number; readonly failed: number };
  readonly errors: readonly { readonly code: string; readonly message: string }[];
  readonly devices: readonly Record<string, unknown>[];
  readonly halted: { readonly code: string; readonly message: string; readonly resume?: string } | null;
}

/** fred lies in the default store path, anna and bea in another; each has `messages` messages. */
function upgraded(messages: number, change: (made: HandSite) => void = () => {}): HandSite {
  const made = handSite();
  site = made;
  const other = made.store.storePath('mail/sales');
  for (const [uid, at] of [
    ['fred', made.store.mailbox],
    ['anna', other],
    ['bea', other],
  ] as const) {
    made.store.user(uid, at === other ? { mailMessageStore: other } : {});
    const folder = made.store.folder(at, uid, 'INBOX', INDEX(7, messages + 1));
    for (let i = 1; i <= messages; i++) putMail(folder, `${uid}-${i}`);
  }
  change(made);
  made.store.finish();
  const result = made.folders();
  if (result.status !== 0) throw new Error(result.stderr + result.stdout);
  return made;
}

/** Puts the partition `primary` on a file system of its own. */
function partitionOnDisk(made: HandSite, size: string): string {
  const partition = path.join(made.store.root, 'small');
  fs.mkdirSync(partition);
  const options = `size=${size},uid=${ACCOUNT.uid},gid=${ACCOUNT.gid},mode=700`;
  run('mount', '-t', 'tmpfs', '-o', options, 'tmpfs', partition);
  mounted = partition;
  expect(made.run('configutil', '-o', 'store.partition.primary.path', '-v', partition).status).toBe(0);
  return partition;
}

describe.each(engineOptions())('a target device that cannot go on, %s', (engine) => {
  it('stops its own folders, is told once in report and log, and goes on after the repair', (ctx) => {
    needRoot(ctx);
    const made = upgraded(3);
    const partition = partitionOnDisk(made, '8m');
    run('mount', '-o', 'remount,ro', partition);
    const result = made.messages(engine);
    const report = JSON.parse(result.stdout) as Report;
    expect([result.status, report.folders.done]).toEqual([4, 2]);
    expect(report.errors).toEqual([expect.objectContaining({ code: 'DEVICE_HALT' })]);
    expect(report.errors[0]?.message).toMatch(/EROFS/);
    expect(report.devices).toEqual([
      expect.objectContaining({
        side: 'target',
        path: partition,
        errno: 'EROFS',
        foldersLeft: 1,
        partitions: ['primary'],
      }),
    ]);
    expect(report.halted?.resume).toMatch(/^upgrade .*-m/);
    expect(made.log().match(/DEVICE_HALT: /g)).toHaveLength(1);
    expect(
      made
        .mailboxes()
        .map(({ name, state }) => [name, state])
        .sort(),
    ).toEqual([
      ['user/anna/INBOX', 'NON-TRANSITION'],
      ['user/bea/INBOX', 'NON-TRANSITION'],
      ['user/fred/INBOX', 'TRANSITION'],
    ]);
    run('mount', '-o', 'remount,rw', partition);
    expect(made.messages(engine).status).toBe(0);
    expect(made.dump()).toHaveLength(9);
  });

  it('is refused before the start when messages cannot fit: needed, free and missing by device', (ctx) => {
    needRoot(ctx);
    const made = upgraded(2, ({ store }) => {
      const folder = path.join(store.mailbox, 'fred/INBOX');
      for (let i = 0; i < 10; i++) putMail(folder, `large${i}`, `Subject: ${i}\r\n\r\n${'x'.repeat(200_000)}\r\n`);
    });
    const partition = partitionOnDisk(made, '1m');
    const result = made.messages(engine);
    const report = JSON.parse(result.stdout) as Report;
    expect([result.status, report.halted?.code, report.folders.done]).toEqual([4, 'SPACE_NEEDED', 0]);
    expect(report.halted?.message).toMatch(/\d+ bytes needed, \d+ free, \d+ missing/);
    expect(fs.readdirSync(partition)).toEqual(['=single']);
  });
});

function needStrace(ctx: TestContext): void {
  if (spawnSync('strace', ['-V']).status === 0) return;
  console.log(`skipped: ${ctx.task.name}: strace is not installed`);
  ctx.skip('strace is not installed');
}

describe.each(engineOptions())('a partition on a network whose server is gone, %s', (engine) => {
  it('is told as the 4.x disk, not as that of 3.x, nor message by message', (ctx) => {
    needStrace(ctx);
    const made = upgraded(3);
    const upgrade = [commandFile('upgrade'), '--instance', made.store.instance, '-m', '-t', '1', '--json', engine];
    const lost = ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=link,linkat', '-e', 'inject=link,linkat:error=ENOTCONN'];
    const result = spawnSync('strace', [...lost, process.execPath, ...upgrade], { encoding: 'utf8' });
    const report = JSON.parse(result.stdout) as Report;
    expect(new Set(report.devices.map(({ side, errno }) => `${side} ${errno}`))).toEqual(new Set(['target ENOTCONN']));
    expect([result.status, new Set(report.errors.map(({ code }) => code))]).toEqual([4, new Set(['DEVICE_HALT'])]);
    expect(made.messages(engine).status).toBe(0);
    expect(made.dump()).toHaveLength(9);
  });
});

describe.each(engineOptions())('a 3.x disk that cannot be read any more, %s', (engine) => {
  it('is told once, not message by message', (ctx) => {
    needStrace(ctx);
    const made = upgraded(60);
    const folders = ['mail/default/fred/INBOX', 'mail/sales/anna/INBOX', 'mail/sales/bea/INBOX'].map((name) =>
      path.join(made.store.root, name),
    );
    const files = folders.flatMap((folder) => fs.readdirSync(folder).map((name) => path.join(folder, name)));
    const messages = files.filter((name) => !/\/\.[^/]*$/.test(name));
    const upgrade = commandFile('upgrade');
    const result = spawnSync(
      'strace',
      [
        ...['-f', '-qq', '-o', '/dev/null', '-e', 'trace=read,preadv2,pread64'],
        ...['-e', 'inject=read,preadv2,pread64:error=EIO'],
        ...messages.flatMap((name) => ['-P', name]),
        ...[process.execPath, upgrade, '--instance', made.store.instance, '-m', '-t', '2', '--json', engine],
      ],
      { encoding: 'utf8' },
    );
    const report = JSON.parse(result.stdout) as Report;
    expect([result.status, report.errors.map(({ code }) => code)]).toEqual([4, ['SOURCE_HALT']]);
    expect(report.errors[0]?.message).toMatch(/EIO/);
    expect(report.devices).toEqual([expect.objectContaining({ side: 'source', errno: 'EIO', foldersLeft: 3 })]);
    expect(made.messages(engine).status).toBe(0);
    expect(made.dump()).toHaveLength(180);
  });
});

describe('upgrade -m --dry-run', () => {
  it('counts a message that several folders share once', (ctx) => {
    needRoot(ctx);
    const made = upgraded(1, ({ store }) => {
      const [one, two] = ['fred/INBOX', 'fred/Sent'].map((name) => path.join(store.mailbox, name));
      store.folder(store.mailbox, 'fred', 'Sent', INDEX(8, 2));
      const file = putMail(one ?? '', 'shared', `Subject: shared\r\n\r\n${'x'.repeat(1_000_000)}\r\n`);
      fs.linkSync(file, path.join(two ?? '', 'shared'));
    });
    partitionOnDisk(made, '8m');
    const result = made.run('upgrade', '-m', '--dry-run', '--json');
    const { partitions, devices } = JSON.parse(result.stdout) as {
      partitions: { name: string; spaceNeeded: number; messages: number }[];
      devices: { bytesNeeded: number; partitions: string[] }[];
    };
    const primary = partitions.find(({ name }) => name === 'primary');
    expect(primary?.messages).toBe(3);
    expect(primary?.spaceNeeded).toBeGreaterThan(1_000_000);
    expect(primary?.spaceNeeded).toBeLessThan(1_500_000);
    // The device's figure is that of the real check; a partition's is a little more than will be needed.
    const needed = devices.find((device) => device.partitions.includes('primary'))?.bytesNeeded;
    expect(needed).toBeGreaterThan(1_000_000);
    expect(needed).toBeLessThanOrEqual(primary?.spaceNeeded ?? 0);
  });
});
