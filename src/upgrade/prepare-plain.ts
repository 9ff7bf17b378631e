/**
 * `prepareFolder` of steps.ts for a folder with nothing unusual, by one call of the native engine: a dozen calls and
 * the code around them take longer than the messages of a tiny folder. undefined: it goes the long way, which is the same
 * for a folder that this one could have done.
 */
import { latin1Path } from '../fs/dir.js';
import { uidvalidityOf } from './plan-plain.js';
import { columnBytes, type SharedRoom } from './shared.js';
import { stampIn } from './stamp.js';
import type { StepTools } from './steps.js';
import type { PrepareFolder, PrepareResult } from './tasks.js';

/** Bytes of an index; a larger folder may be listed by several threads, and needs memory of its own. */
const LARGE = 1 << 20;

/** What the engine fills; one for a thread, read before the next call. */
const wide = new BigUint64Array(5);
const numbers = new Float64Array(9);

/** One for all: what is named twice in a message travels once. */
const NONE: readonly never[] = [];
const NO_ERRNOS: ReadonlyMap<number, number> = new Map();

export function preparePlain(
  { engine, source, context }: StepTools,
  task: PrepareFolder,
  room: SharedRoom,
): PrepareResult | undefined {
  if (engine.makeReady === undefined || source.withPlainIndex === undefined) return undefined;
  if (task.missing || task.previous !== null || task.failed !== null || task.job !== 0) return undefined;
  if (task.indexBytes > LARGE) return undefined;
  const from = latin1Path(task.source.components);
  const to = latin1Path(task.target.components);
  const free = room.free(columnBytes(task.indexBytes), task.memory);
  const keywords = engine.makeReady(task.source.rootFd, from, task.target.rootFd, to, context, free, wide, numbers);
  if (keywords === null) return undefined;
  return {
    kind: 'ready',
    id: task.id,
    sourceFd: numbers[0]!,
    lockFd: numbers[1]!,
    targetFd: numbers[2]!,
    device: wide[4]!,
    plan: {
      uidvalidity: uidvalidityOf(task, numbers[3]!),
      uidnext: numbers[4]!,
      keywords: keywords.length === 0 ? NONE : keywords,
      messages: room.take(numbers[5]!, numbers[6]!),
      errnos: NO_ERRNOS,
      warnings: NONE,
    },
    stamp: stampIn(wide),
    times: { scan: numbers[7]!, plan: numbers[8]! },
    additions: null,
  };
}
