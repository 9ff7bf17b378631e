/**
 * `--dry-run` of `-m` and `-u`: every check and the plan, nothing written. Folders are read and planned as a
 * run would, without locks (a lock may have to make `.lock`), and the way each partition will be filled is
 * told from the devices: the same device means link, or rename with `-r`; another one means copy.
 */
import { statfsSync, statSync } from 'node:fs';
import { selectEngine } from '../engine/engines.js';
import { MESSAGE_ERRORS } from '../engine/types.js';
import { EXIT, type ExitCode } from '../errors.js';
import { closeDir } from '../fs/dir.js';
import { mailboxPathComponents } from '../store/names.js';
import { openPartition } from '../store/partitions.js';
import { prepareTaskOf } from './batch.js';
import { startPool, type WorkerPool } from './pool.js';
import { closeRoots, emptyRoots, storeRoot } from './roots.js';
import { isDue, selectFolders } from './selection.js';
import { openSession } from './session.js';
import type { PrepareFolder } from './tasks.js';
import type { MappingFolder } from './types.js';
import type { MessagesOptions } from './upgradeMessages.js';
import { batches, buildWorklist, folderLoader } from './worklist.js';

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
  readonly method: 'rename' | 'link' | 'copy';
  folders: number;
  messages: number;
  bytes: number;
  /** Bytes that the target's file system must have free; rewritten (bare LF) messages come on top. */
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
  readonly warnings: number;
  readonly problems: readonly SurveyProblem[];
  readonly problemsNotListed: number;
}

const PROBLEMS_KEPT = 10_000;

export function surveyExitCode(report: SurveyReport): ExitCode {
  const short = report.partitions.some((partition) => partition.spaceNeeded > partition.spaceFree);
  if (short) return EXIT.refused;
  return report.problems.length > 0 ? EXIT.partial : EXIT.ok;
}

/** Throws MailhaulError for everything that would keep the run from starting. */
export async function surveyMessages(options: MessagesOptions): Promise<SurveyReport> {
  const engine = await selectEngine(options.engine);
  const session = await openSession({ ...options, readOnly: true }, 'upgrade --dry-run');
  const roots = emptyRoots();
  let pool: WorkerPool | undefined;
  const partitions = new Map<string, PartitionSurvey>();
  const problems: SurveyProblem[] = [];
  let problemsNotListed = 0;
  let warnings = 0;
  const problem = (found: SurveyProblem): void => {
    if (problems.length < PROBLEMS_KEPT) problems.push(found);
    else problemsNotListed += 1;
  };
  try {
    const { mapping, mailboxes, instance } = session;
    const selection = selectFolders(mapping, session.workDir, options);
    for (const found of selection.problems) problem({ user: '', ...found });
    problemsNotListed += selection.problemsNotListed;
    const partitionOf = (folder: MappingFolder, sourcePath: string): PartitionSurvey => {
      const path = folder.root ?? instance.partitionPath(folder.partition) ?? '';
      const key = `${folder.partition}\n${path}\n${sourcePath}`;
      const known = partitions.get(key);
      if (known !== undefined) return known;
      closeDir(openPartition(folder.partition, path, instance.owner));
      const sameDevice = statSync(path).dev === statSync(sourcePath).dev;
      const free = statfsSync(path);
      const made: PartitionSurvey = {
        name: folder.partition,
        path,
        method: sameDevice ? (options.remove ? 'rename' : 'link') : 'copy',
        folders: 0,
        messages: 0,
        bytes: 0,
        spaceNeeded: 0,
        spaceFree: free.bavail * free.bsize,
      };
      partitions.set(key, made);
      return made;
    };
    const worklist = buildWorklist(selection.folders(), (folder) => isDue(mapping, mailboxes, folder));
    pool = startPool(Math.max(1, Math.min(options.threads, worklist.ids.length)), {
      engine: engine.name,
      progress: new Int32Array(new SharedArrayBuffer(64)),
      faults: null,
      ownerUid: instance.owner.uid,
      ownerGid: instance.owner.gid,
      setOwner: false,
      takeForeign: options.takeForeign,
      publishWithFailures: options.acceptFailures,
      additions: false,
    });
    // Node 20 ends the process when a thread is stopped while it loads its code.
    await pool.ready();
    for (const batch of batches(worklist.ids, folderLoader(mapping), options.queue)) {
      const known = new Map<number, { folder: MappingFolder; partition: PartitionSurvey }>();
      const tasks: PrepareFolder[] = [];
      for (const folder of batch) {
        const user = mapping.user(folder.uid);
        if (user === undefined) continue;
        const partition = partitionOf(folder, user.storePath);
        const store = storeRoot(roots, user.storePath);
        known.set(folder.id, { folder, partition });
        const source = { rootFd: store.fd, rootPath: store.path, components: [folder.uid, ...folder.path] };
        const components = mailboxPathComponents(folder.uid, folder.mailbox);
        // Nothing is made in the target.
        const target = { rootFd: -1, rootPath: partition.path, components };
        tasks.push(prepareTaskOf(mapping, folder, { source, target }, false));
      }
      for (const result of await pool.run({ kind: 'survey', folders: tasks })) {
        const entry = known.get(result.id);
        if (entry === undefined) continue;
        const { folder, partition } = entry;
        const where = { user: folder.uid, folder: folder.legacyName };
        if (result.kind === 'failed') {
          problem({ ...where, file: '', code: result.failure.code, message: result.failure.message });
          continue;
        }
        partition.folders += 1;
        partition.messages += result.messages;
        partition.bytes += result.bytes;
        if (partition.method === 'copy') partition.spaceNeeded += result.space;
        warnings += result.warnings;
        for (const { file, refused } of result.refused) {
          problem({ ...where, file, code: MESSAGE_ERRORS[refused] ?? '', message: 'This message would fail.' });
        }
      }
    }
  } finally {
    await pool?.close();
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
    warnings,
    problems,
    problemsNotListed,
  };
}
