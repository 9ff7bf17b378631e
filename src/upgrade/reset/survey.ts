/**
 * The first half of a reset, which writes nothing: looks at everything that will be touched, folder by folder, and
 * lists what stands in the way (folder.ts, tree.ts, partition.ts, databases.ts).
 */
import * as fs from 'node:fs';
import { hasErrno } from '../../errors.js';
import { closeDir, type Dir, fstat, stat } from '../../fs/dir.js';
import { openFile } from '../../fs/file.js';
import { tryFlock } from '../../fs/flock.js';
import { walk } from '../../fs/walk.js';
import { escapeComponent, userPathComponents } from '../../store/names.js';
import { checkPartitionRights, openPartition } from '../../store/partitions.js';
import type { MappingFolder, MappingUser } from '../types.js';
import { beginStep, heldRoot, isAttempted, lockHoldersText, type ResetContext, rootPathOf } from './context.js';
import { checkAcl, checkMailboxes, checkUserData } from './databases.js';
import { examineFolder } from './folder.js';
import { missingLines } from './lines.js';
import { isLinkable, isOnRecord, MessageFinder, nameOf, type OpenFolder, withFolder } from './opened.js';
import { checkPartition } from './partition.js';
import { attempt, attemptInTurns, NOBODY, ofFolder, ofUser } from './refusals.js';
import { checkTree, userTrees } from './tree.js';
import { betweenFolders, betweenUsers, isTurnDue, takeTurn } from './turns.js';
import type { RestorePlan } from './types.js';

/** What the second half needs of the first. */
export interface Survey {
  /** Ids of folders with messages to put back. */
  readonly restore: readonly number[];
  /** 3.x devices that these messages go to. */
  readonly devices: ReadonlySet<bigint>;
  /** Partition directories that are there, by absolute path. */
  readonly partitions: readonly string[];
  /**
   * Uids of users of whom something may lie in a partition: of 100,000 whose mail was never migrated nobody. A directory
   * of another one that comes later is not removed, and keeps its hash directories, which is told (RESET_LEFT).
   */
  readonly users: ReadonlySet<string>;
}

/** User directories that were found, by absolute path of the partition; none of one that could not be listed. */
type Homes = Map<string, ReadonlySet<string>>;

/** Files take whole blocks; of this size on ext4, xfs and btrfs. */
const BLOCK = 4096;

export async function surveyStore(context: ResetContext): Promise<Survey> {
  const { mapping, mailboxes, refusals } = context;
  const partitions = checkRoots(context);
  const homes: Homes = new Map();
  for (const path of partitions) {
    const root = heldRoot(context.roots, path);
    if (root !== null) attempt(refusals, NOBODY, path, () => void homes.set(path, checkPartition(context, root)));
  }
  if (mailboxes !== undefined) attempt(refusals, NOBODY, 'mailbox database', () => checkMailboxes(context, mailboxes));
  const restore: number[] = [];
  const devices = new Set<bigint>();
  const users = new Set<string>();
  for (const user of mapping?.users() ?? []) {
    await betweenUsers(context);
    const { attempted, mayBeThere } = surveyUser(context, { partitions, homes }, user);
    if (mayBeThere) users.add(user.uid);
    for (const folder of attempted) {
      await betweenFolders(context);
      await attemptInTurns(refusals, ofFolder(folder), folder.mailbox, async () => {
        const device = await surveyFolder(context, user, folder);
        if (device === undefined) return;
        restore.push(folder.id);
        devices.add(device);
      });
      context.progress.folders += 1;
    }
  }
  checkSpace(context);
  return { restore, devices, partitions, users };
}

/** Looks at what is the user's own. Returns the attempted folders; none when they cannot be told. */
function surveyUser(
  context: ResetContext,
  { partitions, homes }: { readonly partitions: readonly string[]; readonly homes: Homes },
  user: MappingUser,
): { readonly attempted: readonly MappingFolder[]; readonly mayBeThere: boolean } {
  let attempted: readonly MappingFolder[] = [];
  let mayBeThere = false;
  attempt(context.refusals, ofUser(user.uid), user.uid, () => {
    const folders = context.mapping?.foldersOf(user.uid) ?? [];
    const begun = folders.filter((folder) => isAttempted(context, folder));
    checkUserData(context, user, folders, begun);
    mayBeThere = begun.length > 0 || mayHaveHome(context, homes, user.uid, folders);
    if (mayBeThere) {
      for (const [path, tree] of userTrees(context, user.uid, folders)) {
        const root = partitions.includes(path) ? heldRoot(context.roots, path) : null;
        if (root !== null) checkTree(context, user.uid, root, userPathComponents(user.uid), tree);
      }
    }
    attempted = begun;
  });
  return { attempted, mayBeThere };
}

/** The user has a directory in a partition of the folders, or that one could not be listed. */
function mayHaveHome(context: ResetContext, homes: Homes, uid: string, folders: readonly MappingFolder[]): boolean {
  const name = escapeComponent(uid);
  return folders.some((folder) => {
    const path = rootPathOf(context, folder);
    return path !== undefined && homes.get(path)?.has(name) !== false;
  });
}

/** Store paths and partitions that hold a part of an attempted folder must be there. Returns the partitions. */
function checkRoots(context: ResetContext): string[] {
  const { wanted, refusals, report } = context;
  beginStep(context, 'survey', wanted.attempted);
  for (const path of wanted.neededStores) {
    if (heldRoot(context.roots, path) !== null) continue;
    const text = 'The 3.x mail store path cannot be opened. Is its disk mounted?';
    refusals.add(NOBODY, 'RESET_STORE_PATH', path, text);
  }
  const there: string[] = [];
  for (const [path, { name, needed }] of wanted.partitions) {
    const root = heldRoot(context.roots, path);
    // A partition that nothing was migrated to need not be there.
    if (root === null && !needed) continue;
    const problem = partitionProblem(context, name, path);
    if (problem === undefined) there.push(path);
    else refusals.add(NOBODY, 'RESET_PARTITION', path, problem);
    if (needed) report.partitions.push({ name, path, folders: 0, messages: 0 });
  }
  return there;
}

/**
 * What keeps the partition from being emptied. Looked at is the directory that has been held since before this process
 * took the rights of the server account, as that is what will be emptied: its name may lead elsewhere by now.
 */
function partitionProblem({ roots, owner }: ResetContext, name: string, path: string): string | undefined {
  const root = heldRoot(roots, path);
  try {
    if (root !== null) {
      checkPartitionRights(name, root, owner);
      return undefined;
    }
    closeDir(openPartition(name, path, owner));
    return `The directory of partition ${name} could not be opened, and can be now. Run the command again.`;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return `${error.message} If its disk is gone for good, make the directory again, for the server account with mode 0700.`;
  }
}

/** The 3.x device that messages of the folder must go back to; undefined when there are none. */
async function surveyFolder(
  context: ResetContext,
  user: MappingUser,
  folder: MappingFolder,
): Promise<bigint | undefined> {
  const { report } = context;
  report.folders += 1;
  const partition = report.partitions.find(({ path }) => path === rootPathOf(context, folder));
  if (partition !== undefined) partition.folders += 1;
  return withFolder(context, folder, async (open) => {
    holdMounted(context, user, open);
    const { rows, files } = await examineFolder(context, open, true);
    if (partition !== undefined) partition.messages += files;
    checkAcl(context, open);
    checkLock(context, open);
    if (rows.length === 0 || open.source === undefined) return undefined;
    checkWritable(context, open, open.source);
    const lines = missingLines(context, open, rows);
    report.restore.lines += lines?.rows.length ?? 0;
    await countRows(context, user, open, rows);
    return open.sourceDevice;
  });
}

/** A sync of the store path does not reach what is mounted below it. */
function holdMounted({ roots, mounted }: ResetContext, { storePath }: MappingUser, open: OpenFolder): void {
  const { source, sourceDevice } = open;
  if (source === undefined || sourceDevice === undefined || mounted.has(sourceDevice)) return;
  const store = heldRoot(roots, storePath);
  if (store === null || fstat(store).dev !== sourceDevice) mounted.set(sourceDevice, walk(source, []));
}

/** Whether somebody holds the folder (source/nsms3/lock.ts), without making a lock file. */
function checkLock(context: ResetContext, { source, subject }: OpenFolder): void {
  if (source === undefined || (tryFlock(source.fd, 'exclusive') && isLockFileFree(source))) return;
  const text = `The 3.x folder is locked by ${lockHoldersText(context, source)}. Wait until it has ended, or stop it.`;
  context.refusals.add(subject, 'RESET_FOLDER_BUSY', source.path, text);
}

function isLockFileFree(folder: Dir): boolean {
  if (!stat(folder, '.lock')?.isFile()) return true;
  const fd = openFile(folder, '.lock');
  try {
    return tryFlock(fd, 'exclusive');
  } finally {
    fs.closeSync(fd);
  }
}

function checkWritable(context: ResetContext, { subject }: OpenFolder, source: Dir): void {
  try {
    fs.accessSync(`/proc/self/fd/${source.fd}`, fs.constants.W_OK | fs.constants.X_OK);
  } catch (error) {
    const reason = hasErrno(error, 'EROFS') ? 'is on a read-only file system' : 'cannot be written';
    const text = `Messages must go back to the 3.x folder, which ${reason}.`;
    context.refusals.add(subject, 'RESET_READ_ONLY', source.path, text);
  }
}

async function countRows(
  context: ResetContext,
  user: MappingUser,
  open: OpenFolder,
  rows: readonly number[],
): Promise<void> {
  const { restore } = context.report;
  const plan = planOf(context, user.storePath);
  plan.messages += rows.length;
  restore.messages += rows.length;
  const finder = new MessageFinder(open.target);
  try {
    for (const i of rows) {
      if (isTurnDue()) await takeTurn();
      const file = finder.find(open.record.uids[i] ?? 0);
      if (file === undefined) continue;
      const { size, nlink } = file.stats;
      const linkable = isLinkable(context, open, file.stats);
      const original = linkable && isOnRecord(open.record, i, file.stats);
      if (Number(size) !== open.record.sizes[i]) restore.rewritten += 1;
      if (!original && nlink > 1n) context.sharing.add(user.storePath);
      if (linkable) continue;
      restore.copied += 1;
      plan.copyBytes += Math.ceil(Number(size) / BLOCK) * BLOCK + nameOf(open.record, i).length;
    }
  } finally {
    finder.close();
  }
}

function planOf({ report, roots }: ResetContext, storePath: string): RestorePlan {
  const known = report.restore.stores.find((store) => store.storePath === storePath);
  if (known !== undefined) return known;
  const root = heldRoot(roots, storePath);
  const made = { storePath, messages: 0, copyBytes: 0, freeBytes: root === null ? 0 : freeBytes(root) };
  report.restore.stores.push(made);
  return made;
}

function freeBytes(dir: Dir): number {
  const { bavail, bsize } = fs.statfsSync(`/proc/self/fd/${dir.fd}`);
  return bavail * bsize;
}

/** Store paths may share a file system. Shared messages are counted once a name: rather too much than too little. */
function checkSpace({ report, roots, refusals }: ResetContext): void {
  const byDevice = new Map<bigint, { needed: number; free: number; paths: string[] }>();
  for (const { storePath, copyBytes, freeBytes: free } of report.restore.stores) {
    const root = heldRoot(roots, storePath);
    if (root === null) continue;
    const { dev } = fstat(root);
    const sum = byDevice.get(dev) ?? { needed: 0, free, paths: [] };
    sum.needed += copyBytes;
    sum.paths.push(storePath);
    byDevice.set(dev, sum);
  }
  for (const { needed, free, paths } of byDevice.values()) {
    if (needed <= free) continue;
    const text = `${needed} bytes must be copied back, and ${free} are free. Make space.`;
    refusals.add(NOBODY, 'RESET_SPACE', paths.join(', '), text);
  }
}
