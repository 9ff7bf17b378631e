/** What all steps of a reset share. */
import type { FolderEngine } from '../../engine/types.js';
import { EXIT, MailhaulError } from '../../errors.js';
import { closeDir, type Dir, openRootOr } from '../../fs/dir.js';
import { describeHolder, holdersText } from '../../fs/holders.js';
import type { MailSource } from '../../source/types.js';
import type { MailboxDatabase } from '../../store/types.js';
import type { MappingDatabase, MappingFolder, ResetStage } from '../types.js';
import type { Refusals } from './refusals.js';
import type { ResetReport, ResetStep } from './types.js';
import type { WantedRoots } from './wanted.js';

export interface ResetContext {
  /** undefined: `-s` never came so far, or a reset that was stopped has removed it. */
  readonly mapping: MappingDatabase | undefined;
  readonly mailboxes: MailboxDatabase | undefined;
  /** How far an earlier reset came. */
  readonly stage: ResetStage | undefined;
  readonly owner: { readonly uid: number; readonly gid: number };
  /** Scans directories. */
  readonly engine: FolderEngine;
  readonly source: MailSource;
  readonly report: ResetReport;
  /** What is under way; `foldersInAll` 0: nobody has counted them. */
  readonly progress: { step: ResetStep; folders: number; foldersInAll: number };
  readonly refusals: Refusals;
  /** Store paths and partitions by absolute path, opened at the start and held; null: it cannot be opened. */
  readonly roots: Map<string, Dir | null>;
  /** 3.x file systems that are mounted below a store path, by device; opened before the first write to them, held. */
  readonly mounted: Map<bigint, Dir>;
  /** Store paths in which messages that were copied or rewritten share a file in 4.x. */
  readonly sharing: Set<string>;
  /** Set: the reset stops before the next folder. */
  readonly signal: AbortSignal | undefined;
  /** Absolute path of a partition; configdb is read once for each. */
  readonly partitionPath: (name: string) => string | undefined;
  readonly wanted: WantedRoots;
}

/** The held directory of a root; null when it cannot be opened. */
export function heldRoot(roots: Map<string, Dir | null>, path: string): Dir | null {
  const held = roots.get(path);
  if (held !== undefined) return held;
  // Whoever needs it says what is missing because of it.
  const root = openRootOr(path, () => null);
  roots.set(path, root);
  return root;
}

export function closeRoots(roots: Map<string, Dir | null>): void {
  for (const root of roots.values()) if (root !== null) closeDir(root);
  roots.clear();
}

/** Published once, also when it was deleted or renamed since. */
export function isPublished({ mailboxes }: Pick<ResetContext, 'mailboxes'>, folder: MappingFolder): boolean {
  return folder.migrated || mailboxes?.wasPublished(folder.id) === true;
}

/** Something of the folder may lie in 4.x. Its record, and with it the root, is durable before its first link. */
export function isAttempted(context: Pick<ResetContext, 'mailboxes'>, folder: MappingFolder): boolean {
  return folder.root !== null || isPublished(context, folder);
}

/** Absolute path of the partition that holds the folder, or would; undefined for an unknown partition. */
export function rootPathOf(
  { partitionPath }: Pick<ResetContext, 'partitionPath'>,
  folder: MappingFolder,
): string | undefined {
  return folder.root ?? partitionPath(folder.partition);
}

/** The mailbox of the folder was deleted in 4.x, or another has its name. */
export function isGoneIn4x(context: ResetContext, folder: MappingFolder): boolean {
  const { mailboxes } = context;
  return (
    mailboxes !== undefined && isPublished(context, folder) && mailboxes.get(folder.mailbox)?.mappingId !== folder.id
  );
}

export function beginStep({ progress }: ResetContext, step: ResetStep, foldersInAll: number): void {
  Object.assign(progress, { step, folders: 0, foldersInAll });
}

/** Locked by whom, for people; the holder may be stopped, and then waiting has no end. */
export function lockHoldersText({ source }: ResetContext, folder: Dir): string {
  return holdersText(source.lockHolders(folder).map(describeHolder));
}

/** @throws MailhaulError HALTED (exit 4) */
export function checkSignal({ signal }: ResetContext): void {
  if (signal?.aborted !== true) return;
  throw new MailhaulError('HALTED', 'The reset was stopped.', {
    hint: 'Run `upgrade --reset` again; it goes on where it stopped.',
    exit: EXIT.halted,
  });
}
