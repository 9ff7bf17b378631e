/**
 * Does the work of jobs, one after the other, and says what each cost: a process of its own for the campaign.
 *
 *     node --expose-gc --import tsx probe.ts <base directory> <job>…      job: `<case>|<engine>|<n>`
 *
 * Lines on standard output: `begin <anonymous KiB>` and `end <seconds of processor time>`, or `failed <why>`.
 */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { EngineName } from './case.js';
import { CASES } from './cases.js';

function anonymousKib(): number {
  return Number(/RssAnon:\s+(\d+)/.exec(fs.readFileSync('/proc/self/status', 'latin1'))?.[1]);
}

/** At once, also into a pipe. */
const say = (line: string): void => void fs.writeSync(1, `${line}\n`);

const [base = '', ...jobs] = process.argv.slice(2);
for (const job of jobs) {
  const [name, engine, n] = job.split('|');
  const found = CASES.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no case ${name}`);
  const directory = fs.mkdtempSync(path.join(base, 'case-'));
  try {
    const made = await found.make(directory, Number(n));
    globalThis.gc?.();
    // What the case before let go is given back by a thread of V8's own.
    await new Promise((resolve) => setTimeout(resolve, 50));
    say(`begin ${anonymousKib()}`);
    const before = process.cpuUsage();
    await found.run(directory, made, engine as EngineName);
    const { user, system } = process.cpuUsage(before);
    say(`end ${(user + system) / 1e6} ${user / 1e6}`);
  } catch (error) {
    say(`failed ${error instanceof Error ? error.message : String(error)}`.replace(/\n/g, ' '));
  } finally {
    // rm(1): Node's own cannot remove what lies deeper than PATH_MAX.
    spawnSync('rm', ['-rf', directory]);
  }
}
