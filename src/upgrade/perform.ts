/**
 * Carries out one task with the tools of a thread; the same in a worker and in a service's own process. What it
 * returns may be a promise.
 */
import { settle } from '../fs/pace.js';
import { preparePlain } from './prepare-plain.js';
import { SharedRoom } from './shared.js';
import { moveFolder, prepareFolder, type StepTools } from './steps.js';
import { finishFolder, removeFolder } from './steps-remove.js';
import { surveyFolder } from './survey-folder.js';
import type { MoveFolder, MoveResult, PrepareFolder, PrepareResult, Task } from './tasks.js';

export function perform(tools: StepTools, task: Task): unknown {
  switch (task.kind) {
    case 'prepare':
      if (task.folders.some(({ failed }) => failed !== null)) return prepareSome(tools, task.folders);
      return prepareAll(tools, task.folders);
    case 'survey':
      return inPace(task.folders, (folder) => surveyFolder(tools, folder));
    case 'move':
      if (task.folders.some(({ additions }) => additions !== null)) return moveSome(tools, task.folders);
      return inPace(task.folders, (folder) => moveFolder(tools, folder));
    case 'append':
      return import('./additions-append.js')
        .then(({ loadAppend }) => loadAppend())
        .then((append) => inPace(task.folders, (folder) => append(tools, folder)));
    case 'help':
      return tools.engine.jobs?.help(task.job, tools.context.progress) ?? null;
    case 'finish':
      return inPace(task.folders, (folder) => finishFolder(tools, folder));
    case 'remove':
      return inPace(task.folders, (folder) => removeFolder(tools, folder));
  }
}

/** One after the other; the engine keeps to the pace of the run within a folder, this does so for what is around it. */
function inPace<T, R>(folders: readonly T[], step: (folder: T) => R): R[] {
  return folders.map((folder) => {
    const result = step(folder);
    settle();
    return result;
  });
}

function prepareAll(tools: StepTools, folders: readonly PrepareFolder[]): PrepareResult[] {
  const room = new SharedRoom();
  return inPace(folders, (folder) => preparePlain(tools, folder, room) ?? prepareFolder(tools, folder));
}

/** Some are published; the code for those is loaded when it is needed. */
async function prepareSome(tools: StepTools, folders: readonly PrepareFolder[]): Promise<PrepareResult[]> {
  const addTo = await (await import('./additions-open.js')).loadAddTo();
  return inPace(folders, (folder) => prepareFolder(tools, folder, folder.failed === null ? undefined : addTo));
}

/** Published folders among them get what they lack; the code for that is loaded when it is needed. */
async function moveSome(tools: StepTools, folders: readonly MoveFolder[]): Promise<MoveResult[]> {
  const addMessages = await (await import('./additions.js')).loadAdditions();
  return inPace(folders, (folder) => moveFolder(tools, folder, folder.additions === null ? undefined : addMessages));
}
