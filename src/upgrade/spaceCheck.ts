/**
 * Space before the start of `-m` and `-u`: what every target device must have for the folders that are due, against
 * what statfs gives to the server account. Partitions that are filled by links are estimated from the counts of the
 * mapping, which costs nothing; where messages have to be copied the folders are read first (survey).
 */
import { describeError } from '../errors.js';
import { descriptorInfo } from '../fs/descriptor.js';
import { type Dir, fstat, statfs } from '../fs/dir.js';
import { placesOf, prepareTaskOf } from './folder-places.js';
import type { DeviceReport } from './report.js';
import { drain, halted, type Run } from './run.js';
import {
  type DeviceSpace,
  filesOf,
  isShort,
  modestIndexSpace,
  type SharedInodes,
  type SpaceLedger,
  sharedInodes,
  spaceLedger,
  spaceNeeded,
} from './space.js';
import { surveyFolders } from './survey-all.js';
import type { CopySpace } from './tasks.js';
import { isStopped, type Workload } from './trouble.js';
import { partAt, type Worklist } from './worklist.js';

/** False when the messages cannot fit: then the run is halted (SPACE_NEEDED) before anything was moved. */
export async function checkSpace(run: Run, list: Worklist): Promise<boolean> {
  const ledger = spaceLedger();
  const works = [...run.troubles.work.values()];
  addIndexes(ledger, works, (path) => run.roots.partitions.get(path)?.dir);
  const copied = new Set(works.filter((work) => copies(run, work)).map(({ rootPath }) => rootPath));
  if (copied.size > 0) await surveyCopies(run, list, copied, ledger);
  const short = ledger.devices().filter(isShort);
  if (short.length === 0) return true;
  const refusal = spaceNeeded(short);
  for (const device of short) run.report.devices.push(reportOf(device, works, refusal.code));
  run.report.errors.push({ user: '', folder: '', file: '', code: refusal.code, message: refusal.message });
  drain(run, refusal.code, describeError(refusal));
  return false;
}

/** What the indexes of the folders take at least that were never attempted. */
export function addIndexes(
  ledger: SpaceLedger,
  works: Iterable<Workload>,
  rootOf: (path: string) => Dir | undefined,
): void {
  for (const { rootPath, partition, fresh } of works) {
    const root = rootOf(rootPath);
    if (root === undefined) continue;
    ledger.add(root, partition, modestIndexSpace(fresh.folders, fresh.messages), filesOf(fresh.folders, 0));
  }
}

function reportOf(device: DeviceSpace, works: readonly Workload[], code: string): DeviceReport {
  const { path, partitions, bytesNeeded, bytesFree, filesNeeded, filesFree } = device;
  const mine = works.filter(({ partition }) => partitions.includes(partition));
  const foldersLeft = mine.reduce((sum, { folders }) => sum + folders, 0);
  const errno = 'ENOSPC';
  const message = spaceNeeded([device]).message;
  return {
    side: 'target',
    path,
    partitions,
    call: code,
    errno,
    foldersLeft,
    foldersUnreadable: 0,
    bytesNeeded,
    bytesFree,
    filesNeeded,
    filesFree,
    message,
  };
}

/**
 * Whether messages of this store path have to be copied to that partition and the copies take room for good: with `-r`
 * on one file system (two mounts of it), each folder gives back what its copies took.
 */
function copies(run: Run, { storePath, rootPath }: Workload): boolean {
  const store = run.roots.stores.get(storePath);
  const root = run.roots.partitions.get(rootPath);
  if (store === undefined || root === undefined || wayOf(store, root.dir) !== 'copy') return false;
  return !(run.options.remove && isOneDevice(store, root.dir));
}

/** How messages get from a store path to a partition, as far as their two roots tell. */
export function wayOf(store: Dir, partition: Dir): 'link' | 'reflink' | 'copy' {
  const oneDevice = isOneDevice(store, partition);
  if (oneDevice && isOneMount(store, partition)) return 'link';
  return (oneDevice && statfs(store).type === XFS) || isOneBtrfs(store, partition) ? 'reflink' : 'copy';
}

function isOneDevice(a: Dir, b: Dir): boolean {
  return fstat(a).dev === fstat(b).dev;
}

/** link(2) does not go from one mount to another, though both be of one directory (bind mounts). */
function isOneMount(a: Dir, b: Dir): boolean {
  const [one, other] = [a, b].map(({ fd }) => descriptorInfo(fd, 'mnt_id'));
  return one === undefined || other === undefined || one === other;
}

const BTRFS = 0x9123683e;

/**
 * Blocks can be shared between its mounts since Linux 5.18, unless it was made without reflink, which statfs does not
 * tell: then the disk may fill up, which is better than a run that is refused and would have fitted.
 */
const XFS = 0x58465342;

/** Sub-volumes of one btrfs have device numbers of their own, and share blocks all the same (reflink). */
function isOneBtrfs(a: Dir, b: Dir): boolean {
  const [one, other] = [statfs(a), statfs(b)];
  return one.type === BTRFS && other.type === BTRFS && one.blocks === other.blocks && one.bfree === other.bfree;
}

async function surveyCopies(run: Run, list: Worklist, copied: ReadonlySet<string>, ledger: SpaceLedger): Promise<void> {
  const shared = new Map<string, SharedInodes>();
  const works = [...run.troubles.work.values()];
  const places = new Set(works.filter(({ rootPath }) => copied.has(rootPath)).map(({ number }) => number));
  await surveyFolders(run, works, partAt(list, places), {
    load(id) {
      const folder = run.mapping.folder(id);
      return folder === undefined || isStopped(run, folder) ? undefined : folder;
    },
    isStopped: () => halted(run),
    taskOf(folder) {
      try {
        return prepareTaskOf(run, folder, placesOf(run, folder));
      } catch {
        // The run itself says what is wrong with the folder.
        return undefined;
      }
    },
    take(folder, result) {
      if (result.kind !== 'planned') return;
      run.troubles.planned.messages += result.messages;
      run.troubles.planned.bytes += result.bytes;
      const root = run.roots.partitions.get(folder.root ?? run.partitionPath(folder.partition));
      if (root !== undefined) addCopy(ledger, shared, root.dir, folder.partition, result.copy);
    },
  });
}

/** Adds what copying a folder takes, and returns its bytes; an inode that several folders link is counted once. */
export function addCopy(
  ledger: SpaceLedger,
  sharedByPath: Map<string, SharedInodes>,
  target: Dir,
  partition: string,
  { bytes, files, device, inodes, sizes, links, present }: CopySpace,
): number {
  let shared = sharedByPath.get(target.path);
  if (shared === undefined) {
    shared = sharedInodes();
    sharedByPath.set(target.path, shared);
  }
  let [sum, count] = [bytes, files];
  for (let i = 0; i < inodes.length; i++) {
    const inode = inodes[i] ?? 0n;
    if (present[i] === 1) {
      shared.present(device, inode);
      continue;
    }
    const added = shared.bytesOf(device, inode, sizes[i] ?? 0, links[i] ?? 1);
    sum += added;
    count += added > 0 ? 1 : 0;
  }
  ledger.addContent(target, partition, sum, count);
  return sum;
}
