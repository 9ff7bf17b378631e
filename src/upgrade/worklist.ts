/**
 * Which folders a run takes, and in which order: INBOXes first (users read those first), then the largest
 * first, so that no giant folder is left for the end of the run. The list holds two numbers a folder, not
 * the folders, so that 400,000 folders cost a few megabytes.
 */
import type { MappingDatabase, MappingFolder } from './types.js';

export interface Worklist {
  /** Mapping ids in working order. */
  readonly ids: Uint32Array;
  /** Sum of the estimates, messages. */
  readonly estimatedMessages: number;
}

/** Bytes of one line of a typical `.mailbox`: the estimate of messages from the size of the index. */
const INDEX_LINE_BYTES = 40;

export function estimateMessages(folder: Pick<MappingFolder, 'indexBytes'>): number {
  return Math.ceil(folder.indexBytes / INDEX_LINE_BYTES);
}

/** Orders the folders that `take` accepts. */
export function buildWorklist(folders: Iterable<MappingFolder>, take: (folder: MappingFolder) => boolean): Worklist {
  const inboxes: { id: number; size: number }[] = [];
  const others: { id: number; size: number }[] = [];
  let estimatedMessages = 0;
  for (const folder of folders) {
    if (!take(folder)) continue;
    const size = estimateMessages(folder);
    estimatedMessages += size;
    (folder.isInbox ? inboxes : others).push({ id: folder.id, size });
  }
  const largestFirst = (a: { id: number; size: number }, b: { id: number; size: number }) =>
    b.size - a.size || a.id - b.id;
  const ordered = [...inboxes.sort(largestFirst), ...others.sort(largestFirst)];
  return { ids: Uint32Array.from(ordered, (entry) => entry.id), estimatedMessages };
}

/** Loads what `batches` takes: the folder of an id and its estimate; undefined for one that is gone. */
export function folderLoader(mapping: Pick<MappingDatabase, 'folder'>) {
  return (id: number): { item: MappingFolder; messages: number } | undefined => {
    const folder = mapping.folder(id);
    return folder === undefined ? undefined : { item: folder, messages: estimateMessages(folder) };
  };
}

/** Messages that a batch of several folders holds at most; a larger folder is a batch of its own. */
const BATCH_MESSAGES = 1_000;

/**
 * Takes folders off the list in batches: tiny folders together, large ones alone, never more than
 * `maxFolders` (the share of the queue size `-q` of one lane).
 */
export function* batches<T>(
  ids: Iterable<number>,
  load: (id: number) => { item: T; messages: number } | undefined,
  maxFolders: number,
): Generator<T[]> {
  let batch: T[] = [];
  let messages = 0;
  for (const id of ids) {
    const loaded = load(id);
    if (loaded === undefined) continue;
    if (batch.length > 0 && (batch.length >= maxFolders || messages + loaded.messages > BATCH_MESSAGES)) {
      yield batch;
      batch = [];
      messages = 0;
    }
    batch.push(loaded.item);
    messages += loaded.messages;
  }
  if (batch.length > 0) yield batch;
}
