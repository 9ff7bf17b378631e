/** `--verify` in threads: the same report as without, and how a run ends that is told to stop. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type VerifyOptions, type VerifyReport, verifyStore } from '../../src/upgrade/verify.js';
import { makeTestSite, type TestSite } from '../support/site.js';

let site: TestSite;

beforeAll(() => {
  // More messages than are done without threads.
  site = makeTestSite({ users: 6, folders: 3, messages: 2_200, size: 300, sizes: 'fixed', damage: 0 });
  expect(site.folders().status).toBe(0);
  expect(site.messages().status).toBe(0);
});

afterAll(() => site.remove());

const verify = (options: Partial<VerifyOptions>): Promise<VerifyReport> =>
  verifyStore({ instance: site.instance, ...options });

/** What does not depend on the clock. */
const resultOf = ({ seconds, text, ...rest }: VerifyReport): object => rest;

it('finds the same with and without threads, in the same order', async () => {
  const directories = site.mailboxes().filter(({ messages }) => messages > 2);
  for (const { path: directory } of directories.slice(0, 3)) {
    const hash = fs.readdirSync(directory).find((name) => /^\d+$/.test(name))!;
    const [first, second] = fs.readdirSync(path.join(directory, hash)).sort();
    fs.unlinkSync(path.join(directory, hash, first!));
    fs.chmodSync(path.join(directory, hash, second!), 0o644);
  }
  const [one, many] = [await verify({ threads: 1 }), await verify({ threads: 3 })];
  expect(one).toMatchObject({ exitCode: 1, byCode: { VERIFY_MESSAGE_MISSING: 3 } });
  expect(one.messages.checked).toBe(2_200);
  expect(resultOf(many)).toEqual(resultOf(one));
});

it.each([1, 3])('told to stop it says how far it was and proves nothing, %i threads', async (threads) => {
  const report = await verify({ threads, onStart: ({ stop }) => stop('Stopped by SIGINT.') });
  expect(report).toMatchObject({ exitCode: 4, halted: { code: 'RUN_STOPPED', message: 'Stopped by SIGINT.' } });
  expect(report.messages).toMatchObject({ checked: 0, total: 2_200 });
  expect(report.text).toContain('0 of 2,200 messages');
  expect(report.text.split('\n').at(-1)).toBe('Halted: Stopped by SIGINT. Nothing is proved about the rest.');
});
