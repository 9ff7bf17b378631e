/** A directory below a partition on which another file system is mounted: it has to be synced for itself. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { userPathComponents } from '../../src/store/names.js';
import { verifyStore } from '../../src/upgrade/verify.js';
import { type HandSite, handSite, messagesResult, putMail } from '../e2e/hand-site.js';
import { commandFile } from '../support/process.js';
import { engineOptions } from '../support/site.js';
import { reset } from './reset-support.js';
import { ACCOUNT, databases, INDEX } from './small-store.js';

const UPGRADE = commandFile('upgrade');

let site: HandSite;
/** anna's directory in the partition, with a file system of its own. */
let mounted: string;

beforeEach((ctx) => {
  const missing = process.getuid?.() === 0 ? undefined : 'needs root (mount)';
  if (missing !== undefined) {
    console.log(`skipped: ${ctx.task.name}: ${missing}`);
    ctx.skip(missing);
  }
  site = handSite();
  const { store } = site;
  for (const user of ['anna', 'fred']) {
    store.user(user);
    putMail(store.folder(store.mailbox, user, 'INBOX', `${INDEX(9, 2)}1 9 - 9 one\n`), 'one');
  }
  store.finish();
  expect(site.folders().status).toBe(0);
  const partition = path.join(store.instance, 'store/partition/primary');
  mounted = path.join(partition, ...userPathComponents('anna'));
  fs.mkdirSync(mounted, { recursive: true, mode: 0o700 });
  expect(spawnSync('chown', ['-R', `${ACCOUNT.uid}:${ACCOUNT.gid}`, partition]).status).toBe(0);
  const options = `uid=${ACCOUNT.uid},gid=${ACCOUNT.gid},mode=700,size=4m`;
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', mounted]).status !== 0) {
    console.log(`skipped: ${ctx.task.name}: no file system can be mounted here`);
    ctx.skip('no file system can be mounted here');
  }
});

afterEach(() => {
  if (mounted !== undefined) spawnSync('umount', [mounted]);
  site?.remove();
});

/** System calls of `upgrade`, in order. */
function callsOf(...args: string[]): string[] {
  const trace = path.join(site.store.root, 'trace');
  const upgrade = [UPGRADE, ...args, '--instance', site.store.instance];
  const traced = ['-f', '-y', '-e', 'trace=fsync,syncfs,unlink,unlinkat', '-o', trace, process.execPath, ...upgrade];
  const result = spawnSync('strace', traced, { encoding: 'utf8' });
  expect(result.status, result.stderr).toBe(0);
  return fs.readFileSync(trace, 'latin1').split('\n');
}

const NONE = { rename: 0, link: 0, reflink: 0, copy: 0, rewrite: 0 };

/** As /proc/self/mountinfo has it. */
function deviceOf(directory: string): string {
  return spawnSync('stat', ['-c', '%Hd:%Ld', directory], { encoding: 'utf8' }).stdout.trim();
}

function needStrace(ctx: TestContext): void {
  if (spawnSync('strace', ['-V']).status === 0) return;
  console.log(`skipped: ${ctx.task.name}: strace is not installed`);
  ctx.skip('strace is not installed');
}

describe.each(engineOptions())('-m -r, %s', (engine) => {
  it('syncs the file system of the mailbox before the originals go', (ctx) => {
    needStrace(ctx);
    const calls = callsOf('-m', '-r', '-t', '1', engine);
    const synced = calls.findIndex((call) => /syncfs\(/.test(call) && call.includes(`<${mounted}`));
    const removed = calls.findIndex((call) => /unlink(at)?\(/.test(call) && /anna\/INBOX>|\/one"|"one"/.test(call));
    expect(synced).toBeGreaterThan(-1);
    expect(removed).toBeGreaterThan(synced);
    expect(fs.readdirSync(`${site.store.mailbox}/anna/INBOX`)).not.toContain('one');
  });
});

describe.each(engineOptions())('-m, %s', (engine) => {
  it('copies a shared message, whose copy cannot be linked from the partition', () => {
    fs.linkSync(`${site.store.mailbox}/anna/INBOX/one`, `${site.store.root}/another`);
    const result = site.messages(engine);
    expect(result.status, result.stderr + result.stdout).toBe(0);
    expect(messagesResult(result).methods).toMatchObject({ link: 1, copy: 1 });
    expect(fs.readdirSync(path.join(mounted, '00'))).toEqual(['1.msg']);
  });

  it('says by which method messages went from each device to each other one', () => {
    fs.linkSync(`${site.store.mailbox}/anna/INBOX/one`, `${site.store.root}/another`);
    const { routes } = messagesResult(site.messages(engine));
    const source = deviceOf(site.store.mailbox);
    expect(new Map(routes.map((route) => [`${route.source} ${route.target}`, route.methods]))).toEqual(
      new Map([
        [`${source} ${source}`, { ...NONE, link: 1 }],
        [`${source} ${deviceOf(mounted)}`, { ...NONE, copy: 1 }],
      ]),
    );
  });

  it('copies what its owner shares with another user, and --verify finds nothing wrong with that', async () => {
    const { store } = site;
    fs.unlinkSync(`${store.mailbox}/fred/INBOX/one`);
    fs.linkSync(`${store.mailbox}/anna/INBOX/one`, `${store.mailbox}/fred/INBOX/one`);
    const result = site.messages(engine);
    expect(result.status, result.stderr + result.stdout).toBe(0);
    expect(messagesResult(result).methods).toMatchObject({ link: 1, copy: 1 });
    const report = await verifyStore({ instance: store.instance });
    expect(report).toMatchObject({ exitCode: 0, errors: 0, open: 0 });
  });

  it('refuses a hash directory that is a mount: nobody would sync it', () => {
    const original = `${site.store.mailbox}/anna/INBOX/one`;
    const hash = path.join(mounted, '00');
    fs.mkdirSync(hash, { mode: 0o700 });
    const options = `uid=${ACCOUNT.uid},gid=${ACCOUNT.gid},mode=700,size=4m`;
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', hash]).status).toBe(0);
    try {
      const result = site.messages('-r', engine);
      expect(result.status).toBe(1);
      const message = expect.stringContaining('EXDEV');
      expect(messagesResult(result).errors).toEqual([
        expect.objectContaining({ user: 'anna', file: 'one', code: 'MSG_TARGET', message }),
      ]);
      expect([fs.existsSync(original), fs.readdirSync(hash)]).toEqual([true, []]);
    } finally {
      spawnSync('umount', [hash]);
    }
  });
});

it('--reset puts the messages back, says what stands in the way of the directory, and ends when that is gone', async () => {
  expect(site.messages('-r').status).toBe(0);
  const { store } = site;
  const original = `${store.mailbox}/anna/INBOX/one`;
  expect(fs.existsSync(original)).toBe(false);
  const halted = await reset(store);
  expect(halted).toMatchObject({ outcome: 'halted', exitCode: 4, halted: { code: 'RESET_MOUNTED' } });
  expect(halted.halted?.message).toContain('umount');
  expect(fs.existsSync(original)).toBe(true);
  // All there was on it is gone; nobody can do something else with the store meanwhile.
  expect(fs.readdirSync(mounted)).toEqual([]);
  expect(site.messages().stdout + site.messages().stderr).toContain('RESET_UNFINISHED');
  expect(spawnSync('umount', [mounted]).status).toBe(0);
  expect(await reset(store)).toMatchObject({ outcome: 'done', resumed: true });
  expect(fs.readdirSync(path.join(store.instance, 'store/partition/primary'))).toEqual([]);
  for (const user of ['anna', 'fred']) expect(fs.existsSync(`${store.mailbox}/${user}/INBOX/one`)).toBe(true);
});

/** The other way round: anna's 3.x side lies on a file system of its own. Returns a copy of what is in it. */
function mountSource(): string {
  expect(spawnSync('umount', [mounted]).status).toBe(0);
  mounted = `${site.store.mailbox}/anna`;
  const kept = `${site.store.root}/kept`;
  expect(spawnSync('cp', ['-a', mounted, kept]).status).toBe(0);
  const options = `uid=${ACCOUNT.uid},gid=${ACCOUNT.gid},mode=700,size=4m`;
  expect(spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', mounted]).status).toBe(0);
  expect(spawnSync('cp', ['-a', `${kept}/.`, mounted]).status).toBe(0);
  return kept;
}

describe.each(engineOptions())('-r of a 3.x folder that is mounted below its store path, %s', (engine) => {
  it.for(['at once', 'later'])('%s, syncs it after its originals went', (when, ctx) => {
    needStrace(ctx);
    mountSource();
    // So that the only message that goes is anna's.
    fs.rmSync(`${site.store.mailbox}/fred/INBOX/one`);
    if (when === 'later') expect(site.messages(engine).status).toBe(0);
    const calls = callsOf('-m', '-r', '-t', '1', engine);
    const removed = calls.findLastIndex((call) => /unlink(at)?\(/.test(call) && /anna\/INBOX>|"one"|\/one"/.test(call));
    const synced = calls.findLastIndex((call) => /fsync\(/.test(call) && call.includes(`<${mounted}/INBOX>`));
    expect(removed).toBeGreaterThan(-1);
    expect(synced).toBeGreaterThan(removed);
    expect(fs.readdirSync(`${mounted}/INBOX`)).not.toContain('one');
  });
});

describe.each(engineOptions())('-r of a 3.x folder on a disk of its own that cannot be synced, %s', (engine) => {
  it('is told for that folder, and the others of the disk are counted', (ctx) => {
    needStrace(ctx);
    mountSource();
    const injected = ['-f', '-qq', '-o', '/dev/null', '-P', `${mounted}/INBOX`, '-e', 'inject=fsync:error=EIO'];
    const upgrade = [UPGRADE, '-m', '-r', '-t', '1', '--json', engine, '--instance', site.store.instance];
    const result = spawnSync('strace', [...injected, process.execPath, ...upgrade], { encoding: 'utf8' });
    expect([result.status, JSON.parse(result.stdout)]).toMatchObject([
      1,
      {
        halted: null,
        folders: { done: 2, failed: 0 },
        removed: { messages: 1 },
        errors: [{ user: 'anna', code: 'ORIGINALS_NOT_REMOVED', message: expect.stringContaining('EIO') }],
      },
    ]);
    // What is not known to be gone is not noted as removed.
    expect(site.messages('-r', engine).status).toBe(0);
  });
});

it('--reset that goes on syncs a 3.x folder that is mounted below its store path, also when it puts nothing back', async (ctx) => {
  needStrace(ctx);
  const { store } = site;
  // A reset was killed when the message had its 3.x name.
  const kept = mountSource();
  expect(site.messages('-r').status).toBe(0);
  expect(spawnSync('cp', ['-a', `${kept}/INBOX/one`, `${mounted}/INBOX/one`]).status).toBe(0);
  await databases(store, (mapping) =>
    mapping.update((writes) => writes.putMeta({ ...mapping.meta()!, reset: 'restoring' })),
  );
  const calls = callsOf('--reset', '--yes');
  const synced = calls.findIndex((call) => /syncfs\(/.test(call) && call.includes(`<${mounted}`));
  const removed = calls.findIndex((call) => /unlink(at)?\(/.test(call) && call.includes('1.msg"'));
  expect(synced).toBeGreaterThan(-1);
  expect(removed).toBeGreaterThan(synced);
  expect(fs.existsSync(`${mounted}/INBOX/one`)).toBe(true);
});
