/**
 * A transfer thread (of piscina, all of which would be loaded once more for its `workerData`): takes tasks (tasks.ts)
 * and does them synchronously with its engine. After `begin` it loads nothing more: the process may have become an account
 * that cannot read the code.
 */
import { createRequire } from 'node:module';
import { workerData } from 'node:worker_threads';
import { selectEngine } from '../engine/engines.js';
import { armPace } from '../fs/pace.js';
import { armFaults } from '../fs/seam.js';
import { nsms3 } from '../source/nsms3/source.js';
import { waitForAll } from './barrier.js';
import { perform } from './perform.js';
import type { StepTools } from './steps.js';
import type { BeginTask, ThreadStart, ThreadTask } from './tasks.js';

const start = workerData as ThreadStart;
// The addon asks for them when it is loaded.
if (start.faults !== null) armFaults(start.faults.plan, start.faults.counter);

let tools: StepTools | undefined;

// The engine is loaded while the main thread loads. Where it is missing, that one says so.
export default selectEngine(start.engine).then(
  () => work,
  () => work,
);

function work(task: ThreadTask): unknown {
  if (task.kind === 'begin') return begin(task);
  if (tools === undefined) throw new Error('a task came before the first one');
  return perform(tools, task);
}

/** Returns the files of code that this thread has loaded: this one, its cache, those of piscina, the addon. */
async function begin({ context, additions, arrived, threads }: BeginTask): Promise<readonly string[]> {
  if (context !== null) {
    armPace(context.pace, context.progress);
    tools = { engine: await selectEngine(context.engine), source: nsms3, context };
  }
  if (additions) {
    await Promise.all([import('./additions.js'), import('./additions-open.js'), import('./additions-append.js')]);
  }
  waitForAll(arrived, threads);
  return Object.keys(createRequire(import.meta.url).cache);
}
