/**
 * The plan of a folder with nothing wrong, which the native engine makes in one pass: nearly all folders of a store are
 * like that, and code that is compiled anew in every thread takes longer than their messages do. Whatever needs a
 * decision is plan.ts's. Both give the same plan.
 */
import type { DirectoryScan, FolderEngine } from '../engine/types.js';
import type { Dir } from '../fs/dir.js';
import type { MailSource } from '../source/types.js';
import type { PrepareFolder, WorkerContext } from './tasks.js';
import type { FolderPlan } from './types.js';

export type PlainTask = Pick<PrepareFolder, 'missing' | 'previous' | 'failed' | 'uidvalidity' | 'uidvalidityChosen'>;

/** undefined: an earlier attempt or a late folder is to be considered, or something is not plain. Throws as readIndex. */
export function planPlain(
  engine: FolderEngine,
  source: MailSource,
  context: Pick<WorkerContext, 'ownerUid' | 'takeForeign'>,
  task: PlainTask,
  dir: Dir,
  scan: DirectoryScan,
): FolderPlan | undefined {
  if (task.missing || task.previous !== null || task.failed !== null || scan.errors.length > 0) return undefined;
  const read = (fd: number) => engine.planPlain?.(scan, fd, context);
  const plain = engine.planPlain === undefined ? undefined : source.withPlainIndex?.(dir, context.ownerUid, read);
  if (plain === undefined || plain === null) return undefined;
  const { uidnext, keywords, messages } = plain;
  const uidvalidity = uidvalidityOf(task, plain.uidvalidity);
  return { uidvalidity, uidnext, keywords, messages, errnos: new Map(), warnings: [] };
}

/** Of a plain folder: `header` is what its index has. */
export function uidvalidityOf(task: Pick<PlainTask, 'uidvalidity' | 'uidvalidityChosen'>, header: number): number {
  return Math.max(task.uidvalidityChosen ? 0 : header, task.uidvalidity, 1);
}
