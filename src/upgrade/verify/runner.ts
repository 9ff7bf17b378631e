/** Where tasks are done: in threads, or for a small store in the main thread, which costs no start. */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { builtFile } from '../../package.js';
import { meetLoaded } from '../barrier.js';
import { startThreads } from '../threads.js';
import { makeContext } from './context.js';
import { type Implementation, implementations } from './implementations.js';
import { performItems } from './perform.js';
import type { ThreadContext, VerifyItem, VerifyResult, VerifyTask } from './tasks.js';

export interface Runner {
  /** Tasks that it does at the same time. */
  readonly threads: number;
  readonly implementations: readonly Implementation['name'][];
  /** As performItems. */
  run(items: readonly VerifyItem[]): Promise<VerifyResult[]>;
  close(): Promise<void>;
}

export async function inlineRunner(thread: ThreadContext): Promise<Runner> {
  const context = await makeContext(thread);
  return {
    threads: 1,
    implementations: context.implementations.map(({ name }) => name),
    async run(items) {
      await nextTurn();
      return performItems(context, items);
    },
    close: async () => {},
  };
}

/** Resolves when every thread has loaded its code: nothing has to be read from disk for it any more. */
export async function threadRunner(threads: number, thread: ThreadContext): Promise<Runner> {
  const pool = startThreads(builtFile('upgrade/verify/worker.cjs'), threads, thread);
  const runner: Runner = {
    threads,
    implementations: (await implementations()).map(({ name }) => name),
    run: (items) =>
      pool.run({ kind: 'verify', items } satisfies VerifyTask, { transferList: columnsOf(items) }) as Promise<
        VerifyResult[]
      >,
    close: () => pool.close(),
  };
  try {
    await meetLoaded(threads, (barrier) => pool.run({ kind: 'warm', ...barrier } satisfies VerifyTask));
    return runner;
  } catch (error) {
    await runner.close();
    throw error;
  }
}

/** The columns of migration records: made for one task, so they move instead of being copied. */
function columnsOf(items: readonly VerifyItem[]): ArrayBuffer[] {
  const buffers: ArrayBuffer[] = [];
  for (const item of items) {
    const record = item.kind === 'mailbox' ? item.origin?.record : null;
    if (record === null || record === undefined) continue;
    const { uids, names, nameOffsets, inodes, sizes, mtimes } = record;
    for (const { buffer } of [uids, names, nameOffsets, inodes, sizes, mtimes]) {
      if (buffer instanceof ArrayBuffer) buffers.push(buffer);
    }
  }
  return buffers;
}
