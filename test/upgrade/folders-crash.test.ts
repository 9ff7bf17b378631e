/**
 * `upgrade -s` stopped at every call with an effect, then simply run again (4x-store.md, promise 2): the end is
 * the same as that of a run nobody stopped.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { armFaults } from '../../src/fs/seam.js';
import { INSIDE } from '../support/process.js';
import { databases, INDEX, run, type SmallStore, smallStore } from './small-store.js';

const NOW = 2_000_000_000;

/** In memory: some hundred runs, each with its syncs. */
const BASE = fs.existsSync('/dev/shm') ? '/dev/shm' : undefined;
const TIMEOUT = 600_000;

function makeStore(): SmallStore {
  const store = smallStore(BASE);
  const disk = store.storePath('mail/sales');
  store.user('fred', { mailQuota: '100' });
  store.user('anna', { mailMessageStore: disk });
  store.user('none');
  store.folder(store.mailbox, 'fred', 'INBOX', INDEX(10));
  store.folder(store.mailbox, 'fred', 'Lost', null);
  store.folder(disk, 'anna', 'INBOX', INDEX(12));
  fs.writeFileSync(join(store.mailbox, 'fred/.subscriptions'), 'INBOX\n');
  store.finish();
  return store;
}

/** Everything that `-s` leaves, with the paths of this store made neutral. */
async function result(store: SmallStore): Promise<unknown> {
  const neutral = (text: string) => text.replaceAll(store.root, '<root>');
  const file = (path: string) => neutral(fs.readFileSync(path, 'utf8'));
  const data = await databases(store, (mapping, mailboxes) => ({
    // The inode and when it finished are this run's own.
    meta: { ...mapping.meta(), finished: mapping.meta()?.finished !== null },
    users: [...mapping.users()],
    folders: [...mapping.folders()].map((folder) => ({ ...folder, inode: '' })),
    mailboxes: [...mailboxes.list()],
    quota: mailboxes.quota('fred'),
    subscriptions: mailboxes.subscriptions('fred'),
  }));
  return {
    data: neutral(JSON.stringify(data)),
    configdb: file(join(store.instance, 'config/configdb')).split('\n').sort(),
    lists: ['primary', 'sales'].map((name) => file(join(store.mailbox, `__up.${name}.txt`))),
    conf: file(join(store.mailbox, 'upgrade4x.conf')),
    partition: fs.statSync(join(store.root, 'mail/sales/.0004x.sales')).mode,
    leftovers: [store.mailbox, join(store.instance, 'config')].flatMap((path) =>
      fs.readdirSync(path).filter((name) => name.startsWith('.')),
    ),
  };
}

describe('upgrade -s stopped anywhere', () => {
  let golden: unknown;
  let calls = 0;

  beforeAll(async () => {
    const store = makeStore();
    const counter = armFaults({ mode: 'fail', at: 2 ** 30, errno: 5, report: '' })!;
    try {
      await run(store, { now: NOW });
      calls = Atomics.load(counter, 0);
    } finally {
      armFaults(undefined);
    }
    golden = await result(store);
    store.remove();
  });
  afterAll(() => {
    armFaults(undefined);
  });

  it(
    'by a call that fails, ends the same after another run',
    async () => {
      expect(calls).toBeGreaterThan(50);
      // Every call is the business of the campaigns `kill` and `faults`.
      for (let at = 1; at <= calls; at += 3) {
        const store = makeStore();
        armFaults({ mode: 'fail', at, errno: 5, report: '' });
        const error = await run(store, { now: NOW }).then(
          () => undefined,
          (thrown: { exit?: number }) => thrown,
        );
        armFaults(undefined);
        // A failure before the first write refuses, later it halts; clean-up of a probe may fail without harm.
        if (error !== undefined) expect([3, 4], `call ${at}: ${String(error)}`).toContain(error.exit);
        await run(store, { now: NOW });
        expect(await result(store), `call ${at}`).toEqual(golden);
        store.remove();
      }
    },
    TIMEOUT,
  );

  it(
    'by SIGKILL, ends the same after another run',
    async () => {
      const script = `
      import { armFaults, parseFaultPlan, upgradeFolders } from ${INSIDE};
      armFaults(parseFaultPlan(process.env.MAILHAUL_FAULT));
      await upgradeFolders(JSON.parse(process.argv[2]));
    `;
      for (let step = 1; step <= 6; step += 1) {
        const at = Math.max(1, Math.floor((calls * step) / 6) - 2);
        const store = makeStore();
        const file = join(store.root, 'run.mjs');
        fs.writeFileSync(file, script);
        const options = { instance: store.instance, from: store.from, directory: store.ldif, now: NOW };
        const child = spawnSync(process.execPath, [file, JSON.stringify(options)], {
          env: { ...process.env, MAILHAUL_FAULT: `kill:${at}` },
          encoding: 'utf8',
        });
        expect(child.signal, child.stderr).toBe('SIGKILL');
        await run(store, { now: NOW });
        expect(await result(store), `call ${at}`).toEqual(golden);
        store.remove();
      }
    },
    TIMEOUT,
  );
});
