/** Carries out one task with the tools of a thread; the same in a worker and in a service's own process. */
import { finishFolder, moveFolder, prepareFolder, removeFolder, type StepTools, surveyFolder } from './steps.js';
import type { Task } from './tasks.js';

export function perform(tools: StepTools, task: Task): unknown {
  switch (task.kind) {
    case 'prepare':
      return task.folders.map((folder) => prepareFolder(tools, folder));
    case 'survey':
      return task.folders.map((folder) => surveyFolder(tools, folder));
    case 'move':
      return task.folders.map((folder) => moveFolder(tools, folder));
    case 'warm':
      waitForAll(task.arrived, task.threads);
      return null;
    case 'finish':
      return task.folders.map((folder) => finishFolder(tools, folder));
    case 'remove':
      return task.folders.map((folder) => removeFolder(tools, folder));
  }
}

/** Returns when `threads` threads have come here. */
function waitForAll(arrived: Int32Array, threads: number): void {
  Atomics.add(arrived, 0, 1);
  Atomics.notify(arrived, 0);
  for (let now = Atomics.load(arrived, 0); now < threads; now = Atomics.load(arrived, 0))
    Atomics.wait(arrived, 0, now, 1_000);
}
