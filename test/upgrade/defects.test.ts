/**
 * What a command does when something in it fails that nobody foresaw: an exception that nobody catches, a thread that
 * dies. The defects come in by a module that Node loads first (NODE_OPTIONS), into the real command.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { commandFile } from '../support/process.js';
import { makeTestSite, reportOf, type TestSite } from '../support/site.js';

const UPGRADE = commandFile('upgrade');

let site: TestSite;

beforeEach(() => {
  site = makeTestSite({ users: 3, folders: 2, messages: 60, damage: 0 });
  expect(site.folders().status).toBe(0);
});

afterEach(() => site.remove());

/**
 * `upgrade -m` of the portable engine on two threads; in each of them the calls of `call` from the n-th on run
 * `defect` first: a thread that dies may have told the result of its task before. */
function runWithDefect(
  call: 'linkSync' | 'statfsSync',
  n: number,
  defect: string,
  atLoad = '',
): SpawnSyncReturns<string> {
  const file = path.join(site.root, 'defect.mjs');
  fs.writeFileSync(
    file,
    `import fs from 'node:fs';
     import { syncBuiltinESMExports } from 'node:module';
     import { isMainThread, threadId } from 'node:worker_threads';
     ${atLoad}
     const original = fs.${call};
     let calls = 0;
     fs.${call} = (...args) => {
       calls += 1;
       if (calls >= ${n}) { ${defect} }
       return original(...args);
     };
     syncBuiltinESMExports();`,
  );
  // A folder a task, so that there is work left when a thread dies, even where it has told its result before.
  const args = [UPGRADE, '--instance', site.instance, '-m', '--no-native', '-t', '2', '-q', '1', '--json'];
  return spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: `--import ${file}` },
    timeout: 120_000,
    killSignal: 'SIGKILL',
  });
}

async function expectNothingLost(): Promise<void> {
  expect(site.mailboxes().some(({ state }) => state === 'TRANSITION')).toBe(true);
  expect(site.messages().status).toBe(0);
  expect((await site.compare()).problems).toEqual([]);
}

// The main thread asks for free space before every transaction.
it.each([
  ['an event', "setImmediate(() => { throw new TypeError('planted\\u001b[31m'); })"],
  ['a promise', "Promise.reject(new TypeError('planted\\u001b[31m'))"],
  ['an event, something that is no error', "setImmediate(() => { throw 'planted\\u001b[31m'; })"],
])('an exception in %s that nobody catches is INTERNAL, exit 4, and nothing is lost', async (_, defect) => {
  const ended = runWithDefect('statfsSync', 3, `if (isMainThread) ${defect};`);
  expect(ended.stderr).toMatch(/^upgrade: INTERNAL: .*planted\ufffd/m);
  expect(ended.stderr).toMatch(/nothing was lost\. Run the same command again.*log\/default\/default/);
  expect(ended.status).toBe(4);
  await expectNothingLost();
});

it.each([
  ['exit', 'process.exit(7);'],
  ['an exception that nobody catches', "queueMicrotask(() => { throw new TypeError('planted'); });"],
])('a thread that dies (%s) halts the run with THREAD_DIED, exit 4, and nothing is lost', async (_, defect) => {
  const ended = runWithDefect('linkSync', 4, defect);
  expect(reportOf(ended).halted).toMatchObject({
    code: 'THREAD_DIED',
    message: expect.stringMatching(/Nothing was lost/),
  });
  expect(ended.status).toBe(4);
  await expectNothingLost();
});

it('threads that all die and cannot be started again do not let the run wait for ever', async () => {
  const ended = runWithDefect('linkSync', 4, 'process.exit(7);', "if (threadId > 2) throw new Error('no such file');");
  expect(ended.signal).toBeNull();
  expect(reportOf(ended).halted).toMatchObject({ code: 'THREAD_DIED' });
  expect(ended.stderr).toBe('');
  expect(ended.status).toBe(4);
  await expectNothingLost();
});
