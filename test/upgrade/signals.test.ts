/** `upgrade -m` and signals at awkward moments (commands.md, exit 4: halted by a signal, safe to run again). */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { makeTestSite, type TestSite } from '../support/site.js';

let site: TestSite | undefined;

afterEach(() => {
  site?.remove();
  site = undefined;
});

function upgradedSite(): TestSite {
  site = makeTestSite({ damage: 0, users: 2 });
  expect(site.folders().status).toBe(0);
  return site;
}

/** Waits until the process has opened the mapping database: its handlers are there, its threads are not. */
async function hasBegun({ pid }: ChildProcess): Promise<void> {
  const opened = (fd: string): boolean => {
    try {
      return fs.readlinkSync(`/proc/${pid}/fd/${fd}`).endsWith('/__upfolder.db');
    } catch {
      return false;
    }
  };
  while (!fs.readdirSync(`/proc/${pid}/fd`).some(opened)) await sleep(2);
}

describe('upgrade -m', () => {
  it('ends with 4 when the signal comes before the first folder, and is run again', async () => {
    const made = upgradedSite();
    const child = made.start('upgrade', '-m', '--json');
    child.stdout?.resume();
    child.stderr?.resume();
    await hasBegun(child);
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([4, null]);
    expect(made.messages().status).toBe(0);
    expect((await made.compare()).problems).toEqual([]);
  });

  it('goes on when nobody reads standard error any more', async () => {
    const made = upgradedSite();
    const child = made.start('upgrade', '-m');
    let told = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      told += text;
    });
    child.stderr?.destroy();
    await hasBegun(child);
    child.kill('SIGUSR1');
    expect(await once(child, 'exit'), told).toEqual([0, null]);
    expect((await made.compare()).problems).toEqual([]);
  });
});
