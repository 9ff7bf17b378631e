/** `upgrade -m` and signals at awkward moments (commands.md, exit 4: halted by a signal, safe to run again). */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as path from 'node:path';
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

  /** One user with one folder of many messages, and many folders behind it. */
  function withGiant(): TestSite {
    site = makeTestSite({
      damage: 0,
      users: 30,
      folders: 2,
      messages: 6_000,
      spread: 'natural',
      size: 600,
      storePaths: 1,
    });
    expect(site.folders().status).toBe(0);
    return site;
  }

  /** Starts a run and waits until messages move. */
  async function underWay(
    made: TestSite,
  ): Promise<{ child: ChildProcess; told: () => string; ended: Promise<unknown> }> {
    const child = made.start('upgrade', '-m', '-t', '1', '-q', '2', '--no-native');
    let told = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        told += text;
      });
    }
    const ended = once(child, 'close');
    const partition = path.join(made.instance, 'store/partition/primary');
    const moving = (): boolean =>
      fs.readdirSync(partition, { recursive: true }).some((name) => String(name).endsWith('.msg'));
    while (child.exitCode === null && !moving()) await sleep(5);
    return { child, told: () => told, ended };
  }

  it.each(['SIGTERM', 'SIGHUP'] as const)(
    'finishes and publishes the folders under way at %s, says how to go on, and begins nothing new',
    async (signal) => {
      const made = withGiant();
      const { child, told, ended } = await underWay(made);
      child.kill('SIGUSR1');
      child.kill(signal);
      expect(await ended).toEqual([4, null]);
      expect(told()).toContain(`${signal}: folders under way finish`);
      expect(told()).toMatch(/folders .* messages/);
      expect(told()).toMatch(/Run again.*: upgrade --instance \S+ -m -t 1 -q 2 --no-native/);
      const states = made.mailboxes().map(({ state }) => state);
      // Whatever had begun is published: where there are messages there is an index.
      const partition = path.join(made.instance, 'store/partition/primary');
      const names = fs.readdirSync(partition, { recursive: true }).map(String);
      const begun = new Set(
        names.filter((name) => name.endsWith('.msg')).map((name) => path.dirname(path.dirname(name))),
      );
      expect(begun.size).toBeGreaterThan(0);
      expect([...begun].filter((name) => !names.includes(path.join(name, 'store.idx')))).toEqual([]);
      expect(states.filter((state) => state === 'NON-TRANSITION').length).toBeGreaterThanOrEqual(begun.size);
      expect(states).toContain('TRANSITION');
      expect(made.messages().status).toBe(0);
      expect((await made.compare()).problems).toEqual([]);
    },
    120_000,
  );

  it('ends at once at the second signal, and nothing is lost', async () => {
    const made = withGiant();
    const { child, told, ended } = await underWay(made);
    child.kill('SIGTERM');
    while (!told().includes('SIGTERM')) await sleep(5);
    child.kill('SIGTERM');
    expect(await ended).toEqual([4, null]);
    expect(told()).toContain('Run again: upgrade ');
    expect(made.messages().status).toBe(0);
    expect((await made.compare()).problems).toEqual([]);
  }, 120_000);

  it('goes on when nobody reads standard output any more', async () => {
    const made = upgradedSite();
    const child = made.start('upgrade', '-m', '--json');
    child.stdout?.destroy();
    child.stderr?.resume();
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect((await made.compare()).problems).toEqual([]);
  });
});
