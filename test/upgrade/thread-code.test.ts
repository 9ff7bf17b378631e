import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { codeForLater } from '../../src/upgrade/thread-code.js';
import { ACCOUNT, needRoot } from './small-store.js';

let place: string;
let worker: string;
let addon: string;
const { execArgv } = process;
const nodeOptions = process.env.NODE_OPTIONS;

beforeEach(() => {
  place = fs.mkdtempSync(join(tmpdir(), 'mailhaul-code-'));
  fs.chmodSync(place, 0o755);
  fs.mkdirSync(join(place, 'dist/upgrade'), { recursive: true });
  worker = join(place, 'dist/upgrade/worker.js');
  addon = join(place, 'mailhaul.node');
  for (const file of [worker, addon]) fs.writeFileSync(file, 'x');
  fs.writeFileSync(join(place, 'package.json'), '{}');
  // As a command is started, and not as the runner of tests is.
  process.execArgv = [];
  delete process.env.NODE_OPTIONS;
});

afterEach(() => {
  fs.rmSync(place, { recursive: true });
  process.execArgv = execArgv;
  if (nodeOptions !== undefined) process.env.NODE_OPTIONS = nodeOptions;
});

const codeAs = (account: typeof ACCOUNT | undefined) => codeForLater([worker, addon], account);

it('is what it was until a file of it is changed, exchanged or gone', () => {
  const code = codeAs(undefined);
  expect(() => code?.check()).not.toThrow();
  fs.appendFileSync(addon, 'x');
  expect(() => code?.check()).toThrow(/mailhaul\.node was changed/);
  const again = codeAs(undefined);
  fs.writeFileSync(`${worker}.new`, 'x');
  fs.renameSync(`${worker}.new`, worker);
  expect(() => again?.check()).toThrow(/worker\.js was changed/);
  const last = codeAs(undefined);
  fs.unlinkSync(worker);
  expect(() => last?.check()).toThrow(/ENOENT/);
});

it('is the package.json, too, which says what kind of modules they are', () => {
  const code = codeAs(undefined);
  fs.writeFileSync(join(place, 'package.json'), '{ }');
  expect(() => code?.check()).toThrow(/package\.json was changed/);
});

it('can be loaded later where this process stays what it is, whoever may read it', () => {
  fs.chmodSync(place, 0o700);
  process.env.NODE_OPTIONS = '--no-warnings';
  expect(codeAs(undefined)).toBeDefined();
});

it('cannot be loaded later when it is gone already, or nothing is known of it', () => {
  fs.unlinkSync(worker);
  expect(codeAs(undefined)).toBeUndefined();
  expect(codeForLater([], undefined)).toBeUndefined();
});

it('can be loaded later by an account that can read all of it', (ctx) => {
  needRoot(ctx);
  expect(codeAs(ACCOUNT)).toBeDefined();
  for (const [path, mode] of [
    [worker, 0o600],
    [addon, 0o600],
    [join(place, 'package.json'), 0o600],
    [place, 0o700],
    [join(place, 'dist'), 0o700],
  ] as const) {
    const before = fs.statSync(path).mode;
    fs.chmodSync(path, mode);
    expect(codeAs(ACCOUNT), path).toBeUndefined();
    fs.chmodSync(path, before);
  }
  expect(codeAs(ACCOUNT)).toBeDefined();
  expect(process.geteuid?.()).toBe(0);
});

it('is not certain to be loaded later when Node was told to load more', (ctx) => {
  needRoot(ctx);
  process.env.NODE_OPTIONS = '--import ./other.mjs';
  expect(codeAs(ACCOUNT)).toBeUndefined();
  delete process.env.NODE_OPTIONS;
  process.execArgv = ['--require', './other.cjs'];
  expect(codeAs(ACCOUNT)).toBeUndefined();
});
