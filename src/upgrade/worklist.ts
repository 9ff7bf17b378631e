/**
 * Which folders a run takes, and in which order: INBOXes first (users read those first), then the largest
 * first, so that no giant folder is left for the end of the run. The list holds three numbers a folder, not
 * the folders, so that 400,000 folders cost a few megabytes. The schedule (schedule.ts) takes each device's part of it
 * in this order.
 */
import type { MappingFolder } from './types.js';

export interface Worklist {
  /** Mapping ids in working order. Element i of the three belongs to the same folder. */
  readonly ids: Uint32Array;
  /** Estimates. */
  readonly messages: Uint32Array;
  /** Where from and where to: numbers of Workloads (trouble.ts). */
  readonly places: Uint32Array;
  /** Sum of the estimates. */
  readonly estimatedMessages: number;
}

/** Bytes of one line of a typical `.mailbox`: the estimate of messages from the size of the index. */
const INDEX_LINE_BYTES = 40;

export function estimateMessages(folder: Pick<MappingFolder, 'indexBytes'>): number {
  return Math.ceil(folder.indexBytes / INDEX_LINE_BYTES);
}

/** Orders the folders that `take` accepts; `placeOf` is asked for the place of each of those, once. */
export function buildWorklist(
  folders: Iterable<MappingFolder>,
  take: (folder: MappingFolder) => boolean,
  placeOf: (folder: MappingFolder) => number = () => 0,
): Worklist {
  const ids: number[] = [];
  const messages: number[] = [];
  const places: number[] = [];
  const inboxes: boolean[] = [];
  for (const folder of folders) {
    if (!take(folder)) continue;
    ids.push(folder.id);
    messages.push(estimateMessages(folder));
    places.push(placeOf(folder));
    inboxes.push(folder.isInbox);
  }
  const value = (column: readonly number[], at: number): number => column[at] ?? 0;
  const order = Uint32Array.from(ids.keys()).sort(
    (a, b) =>
      Number(inboxes[b]) - Number(inboxes[a]) ||
      value(messages, b) - value(messages, a) ||
      value(ids, a) - value(ids, b),
  );
  const column = (values: readonly number[]): Uint32Array => order.map((at) => value(values, at));
  const estimatedMessages = messages.reduce((sum, count) => sum + count, 0);
  return { ids: column(ids), messages: column(messages), places: column(places), estimatedMessages };
}

/** A list of single folders. */
export function worklistOf(ids: readonly number[]): Worklist {
  const nothing = new Uint32Array(ids.length);
  return { ids: Uint32Array.from(ids), messages: nothing, places: nothing, estimatedMessages: 0 };
}

/** The part of a list whose folders `keep` has, in the same order. */
export function partOf(list: Worklist, keep: { has(id: number): boolean }): Worklist {
  return part(list, (at) => keep.has(list.ids[at] ?? 0));
}

/** The part of a list that is at these places, in the same order. */
export function partAt(list: Worklist, places: { has(place: number): boolean }): Worklist {
  return part(list, (at) => places.has(list.places[at] ?? 0));
}

function part({ ids, messages, places }: Worklist, keeps: (at: number) => boolean): Worklist {
  const at = Uint32Array.from(ids.keys()).filter(keeps);
  const column = (values: Uint32Array): Uint32Array => at.map((i) => values[i] ?? 0);
  const estimates = column(messages);
  const estimatedMessages = estimates.reduce((sum, count) => sum + count, 0);
  return { ids: column(ids), messages: estimates, places: column(places), estimatedMessages };
}

/** Messages that a batch of several folders holds at most; a larger folder is a batch of its own. */
export const BATCH_MESSAGES = 1_000;
