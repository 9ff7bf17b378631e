/** Where a folder comes from and goes to, and the task that prepares it. */
import { MailhaulError } from '../errors.js';
import { textIfPlain } from '../fs/dir.js';
import { mailboxPathComponents } from '../store/names.js';
import { partitionRoot, storeRoot } from './roots.js';
import type { Run } from './run.js';
import { mailboxOf } from './selection.js';
import type { Place, PrepareFolder } from './tasks.js';
import type { MappingFolder, MappingUser, MessageFailure } from './types.js';

/** Where a folder comes from and goes to. */
export interface FolderPlaces {
  readonly source: Place;
  readonly target: Place;
  readonly user: MappingUser;
  readonly singleFd: number;
  /** The mailbox's name now. */
  readonly mailbox: string;
  /** Absolute path of the partition. */
  readonly rootPath: string;
}

export function placesOf(
  run: Pick<Run, 'mapping' | 'mailboxes' | 'roots' | 'owner' | 'partitionPath'>,
  folder: MappingFolder,
): FolderPlaces {
  const user = run.mapping.user(folder.uid);
  if (user === undefined) {
    throw new MailhaulError('MAP_USER', 'The mapping names a folder of an unknown user.', { where: folder.uid });
  }
  // A folder keeps the root of its first attempt (4x-store.md, Layout).
  const rootPath = folder.root ?? run.partitionPath(folder.partition);
  const root = partitionRoot(run.roots, folder.partition, rootPath, run.owner);
  const store = storeRoot(run.roots, user.storePath);
  const mailbox = mailboxOf(run.mailboxes, folder)?.name ?? folder.mailbox;
  return {
    source: { rootFd: store.fd, rootPath: store.path, components: [folder.uid, ...folder.path.map(textIfPlain)] },
    target: {
      rootFd: root.dir.fd,
      rootPath: root.dir.path,
      components: mailboxPathComponents(folder.uid, mailbox),
    },
    user,
    singleFd: root.single.fd,
    mailbox,
    rootPath,
  };
}

/** One for all: an array in a message to another thread takes as long as the rest of a folder's task. */
const NO_UIDS = new Uint32Array(0);

function uidsOf(failures: readonly MessageFailure[]): Uint32Array {
  return Uint32Array.from(failures, ({ uid }) => uid);
}

export function prepareTaskOf(
  { mapping, mailboxes }: Pick<Run, 'mapping' | 'mailboxes'>,
  folder: MappingFolder,
  { source, target }: Pick<FolderPlaces, 'source' | 'target'>,
  memory: SharedArrayBuffer | null = null,
): PrepareFolder {
  const published = mailboxes.wasPublished(folder.id);
  // Another process may have published it since the mapping's snapshot was taken. Its record was committed before that:
  // a snapshot that is younger than `published` has it.
  if (published) mapping.refresh();
  const failures = published ? mapping.failures(folder.id) : [];
  return {
    id: folder.id,
    job: 0,
    source,
    target,
    uidvalidity: folder.uidvalidity,
    uidvalidityChosen: folder.uidvalidityChosen === true,
    missing: folder.missing,
    inode: folder.inode,
    indexBytes: folder.indexBytes,
    memory,
    // The first record comes with the first attempt, in one transaction.
    previous: folder.attempts === 0 && !published ? null : (mapping.record(folder.id) ?? null),
    failed: published ? uidsOf(failures) : null,
    endWithFile: failures.length === 0 ? NO_UIDS : uidsOf(failures.filter(({ code }) => code === 'MSG_NOT_REGULAR')),
    now: Math.floor(Date.now() / 1000),
  };
}
