/**
 * A transfer thread (of piscina, all of which would be loaded once more for its `workerData`): takes tasks (tasks.ts)
 * and does them synchronously with its engine. It is started once a run, with everything it needs loaded, before the
 * process becomes the server account.
 */
import { workerData } from 'node:worker_threads';
import { selectEngine } from '../engine/engines.js';
import { armPace } from '../fs/pace.js';
import { armFaults } from '../fs/seam.js';
import { nsms3 } from '../source/nsms3/source.js';
import { perform } from './perform.js';
import type { StepTools } from './steps.js';
import type { Task, WorkerContext } from './tasks.js';

const context = workerData as WorkerContext;
if (context.faults !== null) armFaults(context.faults.plan, context.faults.counter);
armPace(context.pace, context.progress);
// From disk now: the process may become an account that cannot read it.
if (context.additions) {
  await Promise.all([import('./additions.js'), import('./additions-open.js'), import('./additions-append.js')]);
}
const tools: StepTools = { engine: await selectEngine(context.engine), source: nsms3, context };

export default function work(task: Task): unknown {
  return perform(tools, task);
}
