/**
 * Work that is one step for each batch of folders, in the order that the schedule (schedule.ts) finds best: the late `-r`
 * (removal.ts), and the look at folders before anything is moved (survey-all.ts). Each disk has its limit and its share of
 * the threads, so a slow one never has those that another one wants.
 *
 * The first error ends it, and is thrown when nothing is under way any more.
 */
import { type Crew, dispatch } from './dispatch.js';
import type { Routes } from './routes.js';
import { Schedule } from './schedule.js';
import type { ScheduleOptions } from './schedule-types.js';
import type { MappingFolder } from './types.js';

export interface OneStep {
  readonly crew: Crew | undefined;
  /** undefined leaves the folder out. */
  load(id: number): MappingFolder | undefined;
  /** Begins when a thread is free: no more of what it reads is in memory than threads work on. Returns messages looked at. */
  step(batch: readonly MappingFolder[]): Promise<number>;
  /** Nothing new is begun. */
  isStopped(): boolean;
}

export async function inOneStep(routes: Routes, options: ScheduleOptions, work: OneStep): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  await dispatch<readonly MappingFolder[]>(new Schedule(routes.works, options), {
    crew: work.crew,
    take(route, maxFolders) {
      try {
        return routes.take(route, maxFolders, work.load);
      } catch (error) {
        failure ??= { error };
        return undefined;
      }
    },
    async process(batch, lane) {
      try {
        return { messages: await lane.run('move', () => work.step(batch)), bytes: 0 };
      } catch (error) {
        failure ??= { error };
        return { messages: 0, bytes: 0 };
      }
    },
    isStopped: () => work.isStopped() || failure !== undefined,
  });
  if (failure !== undefined) throw failure.error;
}
