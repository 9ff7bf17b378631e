/** A thread of a verification (piscina worker); started before the process becomes the server account. */
import { workerData } from 'node:worker_threads';
import { waitForAll } from '../barrier.js';
import { makeContext } from './context.js';
import { performItems } from './perform.js';
import type { ThreadContext, VerifyResult, VerifyTask } from './tasks.js';

export default makeContext(workerData as ThreadContext).then((context) => (task: VerifyTask): VerifyResult[] => {
  if (task.kind === 'verify') return performItems(context, task.items);
  waitForAll(task.arrived, task.threads);
  return [];
});
