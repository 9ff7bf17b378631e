/**
 * `--dry-run` of `-m` and `-u`: every check and the plan, nothing written. Folders are read and planned as a
 * run would, without locks (a lock may have to make `.lock`), and the way each partition will be filled is
 * told from the devices: the same device means link, or rename with `-r`; another one means copy, or reflink on one btrfs.
 * `devices`, which says whether it fits, is added up as the run itself does (spaceCheck.ts); `spaceNeeded` of a
 * partition is a generous estimate to plan with.
 */
import { partitionPaths } from '../config/partition-paths.js';
import { selectEngine } from '../engine/engines.js';
import { MESSAGE_ERRORS } from '../engine/types.js';
import { EXIT, type ExitCode } from '../errors.js';
import { closeDir, type Dir, statfs } from '../fs/dir.js';
import { mailboxPathComponents } from '../store/names.js';
import { openPartition } from '../store/partitions.js';
import { disagreement, refuseOldMapping, stillUnrecorded, unrecorded } from './disagree.js';
import { prepareTaskOf } from './folder-places.js';
import { NO_LIMITS } from './limits.js';
import { type StartedPool, startPool } from './pool.js';
import { closeRoots, emptyRoots, openStorePaths, storeRoot } from './roots.js';
import { isDue, mailboxOf, selectFolders, storePathOf } from './selection.js';
import { openSession } from './session.js';
import { type DeviceSpace, indexSpace, isShort, type SharedInodes, spaceLedger } from './space.js';
import { addCopy, addIndexes, wayOf } from './spaceCheck.js';
import { surveyFolders } from './survey-all.js';
import type { FolderFailure } from './tasks.js';
import { Throttle } from './throttle.js';
import { addWork, type Workload } from './trouble.js';
import type { MappingFolder } from './types.js';
import type { MessagesOptions } from './upgradeMessages.js';
import { buildWorklist } from './worklist.js';

export interface SurveyProblem {
  readonly user: string;
  readonly folder: string;
  readonly file: string;
  readonly code: string;
  readonly message: string;
}

export interface PartitionSurvey {
  readonly name: string;
  readonly path: string;
  readonly method: 'rename' | 'link' | 'reflink' | 'copy';
  folders: number;
  messages: number;
  bytes: number;
  /** Bytes that the target's file system must have free, about; rewritten (bare LF) messages come on top. */
  spaceNeeded: number;
  readonly spaceFree: number;
}

export interface SurveyReport {
  readonly dryRun: true;
  readonly folders: number;
  readonly messages: number;
  readonly bytes: number;
  readonly engine: string;
  readonly partitions: readonly PartitionSurvey[];
  /** What each target device must have at least, and has; several partitions may share one. */
  readonly devices: readonly DeviceSpace[];
  readonly warnings: number;
  readonly problems: readonly SurveyProblem[];
  readonly problemsNotListed: number;
}

const PROBLEMS_KEPT = 10_000;

/** As the run itself would end: with SPACE_NEEDED (space.ts) where the messages cannot fit. */
export function surveyExitCode(report: SurveyReport): ExitCode {
  if (report.devices.some(isShort)) return EXIT.halted;
  return report.problems.length > 0 ? EXIT.partial : EXIT.ok;
}

/** Throws MailhaulError for everything that would keep the run from starting. */
export async function surveyMessages(options: MessagesOptions): Promise<SurveyReport> {
  const engine = await selectEngine(options.engine);
  const session = await openSession({ ...options, readOnly: true }, 'upgrade --dry-run');
  const roots = emptyRoots();
  let pool: StartedPool | undefined;
  const partitions = new Map<string, PartitionSurvey>();
  const problems: SurveyProblem[] = [];
  const ledger = spaceLedger();
  const shared = new Map<string, SharedInodes>();
  /** Partition directories by path; looked at only. */
  const targets = new Map<string, Dir>();
  let problemsNotListed = 0;
  let warnings = 0;
  const problem = (found: SurveyProblem): void => {
    if (problems.length < PROBLEMS_KEPT) problems.push(found);
    else problemsNotListed += 1;
  };
  try {
    const { mapping, mailboxes, instance } = session;
    const pathOf = partitionPaths(instance);
    refuseOldMapping(mapping, mailboxes, session.workDir);
    const selection = selectFolders(mapping, session.workDir, options);
    for (const found of selection.problems) problem(found);
    problemsNotListed += selection.problemsNotListed;
    const targetOf = (name: string, path: string): Dir => {
      const held = targets.get(path);
      if (held !== undefined) return held;
      const opened = openPartition(name, path, instance.owner);
      targets.set(path, opened);
      return opened;
    };
    const partitionOf = (folder: MappingFolder, sourcePath: string): PartitionSurvey => {
      const path = folder.root ?? pathOf(folder.partition) ?? '';
      const key = `${folder.partition}\n${path}\n${sourcePath}`;
      const known = partitions.get(key);
      if (known !== undefined) return known;
      const target = targetOf(folder.partition, path);
      const way = wayOf(storeRoot(roots, sourcePath), target);
      const free = statfs(target);
      const made: PartitionSurvey = {
        name: folder.partition,
        path,
        method: way === 'link' && options.remove ? 'rename' : way,
        folders: 0,
        messages: 0,
        bytes: 0,
        spaceNeeded: 0,
        spaceFree: free.bavail * free.bsize,
      };
      partitions.set(key, made);
      return made;
    };
    const unopened = new Map<string, boolean>();
    /** A store path that cannot be opened stops its own folders in the run, and is told once. */
    const canOpen = (storePath: string): boolean => {
      const known = unopened.get(storePath) ?? (storePath !== '' && openStorePaths(roots, [storePath]).size > 0);
      if (known && !unopened.has(storePath)) {
        const message = `The 3.x store ${storePath} cannot be opened. Is its disk mounted?`;
        problem({ user: '', folder: '', file: '', code: 'SOURCE_HALT', message });
      }
      unopened.set(storePath, known);
      return !known;
    };
    const work = new Map<string, Workload>();
    const disagrees = ({ uid, legacyName }: MappingFolder, { code, message }: FolderFailure): void =>
      problem({ user: uid, folder: legacyName, file: '', code, message });
    const withoutAttempt: MappingFolder[] = [];
    const takes = (folder: MappingFolder): boolean => {
      if (folder.attempts === 0 && mailboxes.wasPublished(folder.id)) {
        withoutAttempt.push(folder);
        return false;
      }
      const due = isDue(mapping, mailboxes, folder);
      const failure = due ? disagreement(mapping.folder(folder.id), mailboxOf(mailboxes, folder)) : undefined;
      if (failure !== undefined) {
        disagrees(folder, failure);
        return false;
      }
      return due && canOpen(storePathOf(mapping, folder));
    };
    const worklist = buildWorklist(selection.folders(), takes, (folder) => {
      const root = folder.root ?? pathOf(folder.partition) ?? '';
      return addWork(work, storePathOf(mapping, folder), root, folder);
    });
    for (const folder of stillUnrecorded(mapping, withoutAttempt)) disagrees(folder, unrecorded(folder));
    const threads = Math.max(1, Math.min(options.threads, worklist.ids.length));
    pool = startPool(threads, {
      engine: engine.name,
      faults: null,
    });
    await pool.begin(
      {
        engine: engine.name,
        progress: new Int32Array(new SharedArrayBuffer(64)),
        pace: new Throttle(options.limits ?? NO_LIMITS).pace,
        ownerUid: instance.owner.uid,
        ownerGid: instance.owner.gid,
        setOwner: false,
        takeForeign: options.takeForeign,
        publishWithFailures: options.acceptFailures,
      },
      false,
    );
    const rowOf = (folder: MappingFolder): PartitionSurvey | undefined => {
      const user = mapping.user(folder.uid);
      return user === undefined ? undefined : partitionOf(folder, user.storePath);
    };
    const surveyed = { pool, roots, options: { threads, queue: options.queue } };
    await surveyFolders(surveyed, work.values(), worklist, {
      load: (id) => mapping.folder(id),
      isStopped: () => false,
      taskOf(folder) {
        const user = mapping.user(folder.uid);
        const partition = rowOf(folder);
        if (user === undefined || partition === undefined) return undefined;
        const store = storeRoot(roots, user.storePath);
        const components = mailboxPathComponents(folder.uid, folder.mailbox);
        const target = targets.get(partition.path) ?? { fd: -1, path: partition.path };
        const source = { rootFd: store.fd, rootPath: store.path, components: [folder.uid, ...folder.path] };
        const places = { source, target: { rootFd: target.fd, rootPath: target.path, components } };
        return prepareTaskOf(session, folder, places);
      },
      take(folder, result) {
        const partition = rowOf(folder);
        if (partition === undefined) return;
        const where = { user: folder.uid, folder: folder.legacyName };
        if (result.kind === 'failed') {
          problem({ ...where, file: '', code: result.failure.code, message: result.failure.message });
          return;
        }
        partition.folders += 1;
        partition.messages += result.messages;
        partition.bytes += result.bytes;
        const index = indexSpace(1, result.messages);
        const target = targets.get(partition.path);
        if (target === undefined) return;
        partition.spaceNeeded += index;
        if (partition.method === 'copy') {
          partition.spaceNeeded += addCopy(ledger, shared, target, partition.name, result.copy);
        }
        warnings += result.warnings;
        for (const { file, refused } of result.refused) {
          problem({ ...where, file, code: MESSAGE_ERRORS[refused] ?? '', message: 'This message would fail.' });
        }
      },
    });
    addIndexes(ledger, work.values(), (path) => targets.get(path));
  } finally {
    await pool?.close();
    for (const dir of targets.values()) closeDir(dir);
    closeRoots(roots);
    await session.close();
  }
  const list = [...partitions.values()];
  const total = (value: (partition: PartitionSurvey) => number): number =>
    list.reduce((sum, entry) => sum + value(entry), 0);
  return {
    dryRun: true,
    folders: total((partition) => partition.folders),
    messages: total((partition) => partition.messages),
    bytes: total((partition) => partition.bytes),
    engine: engine.name,
    partitions: list,
    devices: ledger.devices(),
    warnings,
    problems,
    problemsNotListed,
  };
}
