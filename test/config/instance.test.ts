/** Directories that are there before the instance is: whose they are afterwards, and with which mode. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createInstance, type InstanceSettings } from '../../src/config/instance.js';
import { INSTANCE_DIRECTORIES } from '../support/instance-directories.js';
import { ACCOUNT, codeOfAsync, HOST, needRoot } from '../upgrade/small-store.js';

const SETTINGS: InstanceSettings = {
  hostName: HOST,
  serverUser: ACCOUNT.user,
  serverGroup: ACCOUNT.group,
  from: null,
};

/** Those of the default partition besides. */
const DIRECTORIES = [...INSTANCE_DIRECTORIES, 'store/partition/primary'];

let root: string;
let instance: string;
beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), 'mailhaul-instance-'));
  fs.chmodSync(root, 0o755);
  instance = join(root, 'msg-new');
});
afterEach(() => fs.rmSync(root, { recursive: true }));

/** Makes the directories as somebody would by hand, with this owner where the test is root. */
function makeBefore(names: readonly string[], uid = 0, gid = uid): void {
  for (const name of names) {
    fs.mkdirSync(join(instance, name));
    fs.chmodSync(join(instance, name), 0o2755);
    if (process.getuid?.() === 0) fs.chownSync(join(instance, name), uid, gid);
  }
}

const make = async (): Promise<void> => (await createInstance(instance, SETTINGS)).close();

const ownership = (name: string): string => {
  const { uid, gid, mode } = fs.statSync(join(instance, name));
  return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
};
const OURS = `${ACCOUNT.uid}:${ACCOUNT.gid} 700`;

describe('directories that were made beforehand', () => {
  it.each([
    ['by root', 0, 0],
    ['by the account with another group', ACCOUNT.uid, ACCOUNT.gid + 1],
  ])('%s are the account’s alone afterwards', async (_, uid, gid) => {
    makeBefore(DIRECTORIES, uid, gid);
    await make();
    expect(DIRECTORIES.map(ownership)).toEqual(DIRECTORIES.map(() => OURS));
  });

  it('by another account stay as they are', async (ctx) => {
    needRoot(ctx);
    makeBefore(['', 'log'], 12_345);
    await make();
    expect(['', 'log', 'config'].map(ownership)).toEqual(['12345:12345 2755', '12345:12345 2755', OURS]);
  });

  it('and reached through a link are refused, and stay as they are', async () => {
    makeBefore(['']);
    const elsewhere = join(root, 'elsewhere');
    fs.mkdirSync(elsewhere);
    fs.chmodSync(elsewhere, 0o755);
    fs.symlinkSync(elsewhere, join(instance, 'store'));
    expect(await codeOfAsync(make)).toBe('INSTANCE_CREATE');
    const { uid, mode } = fs.statSync(elsewhere);
    expect([uid, mode & 0o7777, fs.readdirSync(elsewhere)]).toEqual([process.getuid?.(), 0o755, []]);
  });
});

it('an instance that is there keeps the modes of its directories', async () => {
  await make();
  fs.chmodSync(join(instance, 'queue'), 0o750);
  await make();
  expect(ownership('queue')).toBe(`${ACCOUNT.uid}:${ACCOUNT.gid} 750`);
});
