/**
 * Carries out one task with the tools of a thread; the same in a worker and in a service's own process. What it
 * returns may be a promise.
 */
import { waitForAll } from './barrier.js';
import { moveFolder, prepareFolder, type StepTools } from './steps.js';
import { finishFolder, removeFolder } from './steps-remove.js';
import { surveyFolder } from './survey-folder.js';
import type { MoveFolder, MoveResult, PrepareFolder, PrepareResult, Task } from './tasks.js';

export function perform(tools: StepTools, task: Task): unknown {
  switch (task.kind) {
    case 'prepare':
      if (task.folders.some(({ failed }) => failed !== null)) return prepareSome(tools, task.folders);
      return task.folders.map((folder) => prepareFolder(tools, folder));
    case 'survey':
      return task.folders.map((folder) => surveyFolder(tools, folder));
    case 'move':
      if (task.folders.some(({ additions }) => additions !== null)) return moveSome(tools, task.folders);
      return task.folders.map((folder) => moveFolder(tools, folder));
    case 'append':
      return import('./additions-append.js')
        .then(({ loadAppend }) => loadAppend())
        .then((append) => task.folders.map((folder) => append(tools, folder)));
    case 'warm':
      waitForAll(task.arrived, task.threads);
      return null;
    case 'finish':
      return task.folders.map((folder) => finishFolder(tools, folder));
    case 'remove':
      return task.folders.map((folder) => removeFolder(tools, folder));
  }
}

/** Some are published; the code for those is loaded when it is needed. */
async function prepareSome(tools: StepTools, folders: readonly PrepareFolder[]): Promise<PrepareResult[]> {
  const addTo = await (await import('./additions-open.js')).loadAddTo();
  return folders.map((folder) => prepareFolder(tools, folder, folder.failed === null ? undefined : addTo));
}

/** Published folders among them get what they lack; the code for that is loaded when it is needed. */
async function moveSome(tools: StepTools, folders: readonly MoveFolder[]): Promise<MoveResult[]> {
  const addMessages = await (await import('./additions.js')).loadAdditions();
  return folders.map((folder) => moveFolder(tools, folder, folder.additions === null ? undefined : addMessages));
}
