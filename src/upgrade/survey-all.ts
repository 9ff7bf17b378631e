/**
 * The look at many folders before anything is moved (survey-folder.ts), for `--dry-run` and the space check of a run. Its
 * threads read 3.x directories, so it goes by 3.x disks; what it asks of a partition is next to nothing.
 */
import type { Crew } from './dispatch.js';
import { inOneStep } from './one-step.js';
import type { WorkerPool } from './pool.js';
import type { Roots } from './roots.js';
import { routesOf } from './routes.js';
import type { RunOptions } from './run.js';
import type { PrepareFolder, SurveyResult } from './tasks.js';
import type { MappingFolder } from './types.js';
import type { Worklist } from './worklist.js';

/** What of a run a survey needs. */
export interface SurveyRun {
  readonly pool: Pick<WorkerPool, 'run'>;
  readonly crew?: Crew | undefined;
  readonly roots: Roots;
  readonly options: Pick<RunOptions, 'threads' | 'queue'>;
}

export interface SurveyUse {
  /** undefined leaves the folder out. */
  load(id: number): MappingFolder | undefined;
  /** The task of a folder; undefined leaves it out. */
  taskOf(folder: MappingFolder): PrepareFolder | undefined;
  take(folder: MappingFolder, result: SurveyResult): void;
  isStopped(): boolean;
}

/**
 * Surveys the folders of a list, in the order of the schedule.
 *
 * @param places what the places of the list are numbers of
 */
export async function surveyFolders(
  run: SurveyRun,
  places: Iterable<{ readonly storePath: string }>,
  list: Worklist,
  use: SurveyUse,
): Promise<void> {
  const sources = Array.from(places, ({ storePath }) => ({ storePath, rootPath: null }));
  await inOneStep(routesOf(run, sources, list), run.options, {
    crew: run.crew,
    load: use.load,
    step: (batch) => surveyBatch(run, batch, use),
    isStopped: use.isStopped,
  });
}

async function surveyBatch({ pool }: SurveyRun, batch: readonly MappingFolder[], use: SurveyUse): Promise<number> {
  const known = new Map<number, MappingFolder>();
  const tasks: PrepareFolder[] = [];
  for (const folder of batch) {
    const task = use.taskOf(folder);
    if (task === undefined) continue;
    known.set(folder.id, folder);
    tasks.push(task);
  }
  let messages = 0;
  for (const result of tasks.length === 0 ? [] : await pool.run({ kind: 'survey', folders: tasks })) {
    const folder = known.get(result.id);
    if (folder === undefined) continue;
    if (result.kind === 'planned') messages += result.messages;
    use.take(folder, result);
  }
  return messages;
}
