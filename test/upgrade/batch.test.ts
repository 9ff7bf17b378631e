/** What a batch makes of messages that an engine could not bring into 4.x. */
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type EngineOutput, MESSAGE_ERRORS } from '../../src/engine/types.js';
import { loadDigest } from '../../src/store/digest.js';
import { migrateFolders } from '../../src/upgrade/messages.js';
import type { TaskResults, WorkerPool } from '../../src/upgrade/pool.js';
import { closeRoots } from '../../src/upgrade/roots.js';
import { openSession, type Session } from '../../src/upgrade/session.js';
import type { Task } from '../../src/upgrade/tasks.js';
import { worklistOf } from '../../src/upgrade/worklist.js';
import { INDEX, run, type SmallStore, smallStore } from './small-store.js';
import { runHere } from './thread-support.js';

let store: SmallStore;
let session: Session;

/** Four folders, more than it takes for a 3.x disk to count as dead, with a message each. */
beforeEach(async () => {
  await loadDigest();
  store = smallStore();
  store.user('anna');
  for (const name of ['INBOX', 'one', 'two', 'three']) {
    const folder = store.folder(store.mailbox, 'anna', name, `${INDEX(9, 2)}1 9 - 19 m\n`);
    fs.writeFileSync(join(folder, 'm'), 'Subject: x\r\n\r\ntext\r\n', { mode: 0o600 });
  }
  store.finish();
  await run(store);
  session = await openSession({ instance: store.instance }, 'test');
});

afterEach(async () => {
  await session.close();
  store.remove();
});

function failedWith(code: (typeof MESSAGE_ERRORS)[number], errno: number, { times }: EngineOutput): EngineOutput {
  return {
    methods: Uint8Array.of(0),
    errors: Uint8Array.of(MESSAGE_ERRORS.indexOf(code)),
    errnos: Int32Array.of(errno),
    summary: null,
    bytes: 0,
    halt: null,
    stopped: false,
    times,
  };
}

/** Migrates all folders; each message fails. What was reported, and which sides have a device that stopped. */
async function migrate(code: (typeof MESSAGE_ERRORS)[number], errno: number): Promise<[Set<string>, string[]]> {
  const made = await runHere(session);
  const pool: WorkerPool = {
    ...made.pool,
    async run<K extends Task['kind']>(task: Extract<Task, { kind: K }>): Promise<TaskResults[K]> {
      const results = await made.pool.run(task);
      if (task.kind !== 'move') return results;
      return (results as TaskResults['move']).map((result) =>
        result.kind === 'failed' ? result : { ...result, output: failedWith(code, errno, result.output) },
      ) as TaskResults[K];
    },
  };
  const ours = { ...made, pool };
  await migrateFolders(ours, worklistOf([...session.mapping.folders()].map(({ id }) => id)));
  closeRoots(ours.roots);
  return [new Set(ours.report.errors.map((error) => error.code)), ours.troubles.stopped.map(({ side }) => side)];
}

it('a 3.x disk that gives no message of several folders counts as dead', async () => {
  expect((await migrate('MSG_UNREADABLE', constants.errno.EIO))[1]).toEqual(['source']);
});

it('messages that 4.x does not take say nothing of the 3.x disk, whatever their errno', async () => {
  expect(await migrate('MSG_TARGET', constants.errno.ENOTCONN)).toEqual([new Set(['MSG_TARGET']), []]);
});
