/**
 * Late `-r`: removes the originals of folders that an earlier run published without it (4x-store.md,
 * promise 1). The migration record names what was migrated. A folder with failures on record keeps all its
 * originals until they are repaired (publish.ts); a file that has no message in 4.x, although the mailbox is
 * still there, stays as well.
 */
import { placesOf } from './batch.js';
import { failureOf, folderFailed, halted, type Run } from './run.js';
import type { RemoveFolder } from './tasks.js';
import type { MappingFolder } from './types.js';
import { batches, estimateMessages } from './worklist.js';

/** Removes the originals of the published folders among `ids`. */
export async function removePublishedOriginals(run: Run, ids: Iterable<number>): Promise<void> {
  const load = (id: number) => {
    if (!run.mailboxes.wasPublished(id)) return undefined;
    // Failures are on record before a folder is published (publish.ts): a snapshot taken now cannot miss them.
    run.mapping.refresh();
    const folder = run.mapping.folder(id);
    const due = folder !== undefined && !folder.missing && !folder.sourcesRemoved;
    if (!due || run.mapping.failures(id).length > 0) return undefined;
    return { item: folder, messages: estimateMessages(folder) };
  };
  const source = batches(ids, load, 64);
  const lane = async (): Promise<void> => {
    while (!halted(run)) {
      const next = source.next();
      if (next.done === true) return;
      await removeBatch(run, next.value);
    }
  };
  await Promise.all(Array.from({ length: run.options.threads }, lane));
}

async function removeBatch(run: Run, batch: readonly MappingFolder[]): Promise<void> {
  const known = new Map<number, MappingFolder>();
  const tasks: RemoveFolder[] = [];
  for (const folder of batch) {
    const record = run.mapping.record(folder.id);
    if (record === undefined) continue;
    try {
      const places = placesOf(run, folder);
      tasks.push({
        id: folder.id,
        source: places.source,
        target: places.target,
        record,
        checkTarget: run.mailboxes.get(folder.mailbox)?.mappingId === folder.id,
      });
      known.set(folder.id, folder);
    } catch (error) {
      folderFailed(run, folder, failureOf(error, folder.mailbox));
    }
  }
  const results = await run.pool.run({ kind: 'remove', folders: tasks });
  const gone: MappingFolder[] = [];
  for (const result of results) {
    const folder = known.get(result.id);
    if (folder === undefined) continue;
    if (result.kind === 'busy') {
      const who = result.holders.length === 0 ? 'another process' : `process ${result.holders.join(', ')}`;
      folderFailed(run, folder, {
        code: 'FOLDER_BUSY',
        message: `The 3.x folder is locked by ${who}; its originals stay. Run again later.`,
        where: folder.legacyName,
      });
    } else if (result.kind === 'failed') {
      folderFailed(run, folder, result.failure);
    } else {
      const kept = result.output.kept.length + result.notInTarget;
      run.report.removed.messages += result.output.removed;
      run.report.removed.kept += kept;
      if (kept > 0) {
        run.report.warnings += 1;
        run.log.write(
          'Store',
          'Warning',
          `${folder.mailbox}: ${kept} 3.x files stay: ${result.output.kept.length} changed or cannot be removed, ` +
            `${result.notInTarget} have no message file in 4.x.`,
        );
      } else {
        gone.push(folder);
      }
    }
  }
  if (gone.length === 0) return;
  await run.mapping.update((writes) => {
    for (const folder of gone) writes.putFolder({ ...folder, migrated: true, sourcesRemoved: true });
  });
}
