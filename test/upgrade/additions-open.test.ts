/** Preparing a retry: what fails in the published mailbox is trouble of the 4.x disk, whose folders then stop. */
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { selectEngine } from '../../src/engine/engines.js';
import { closeDir, openRoot } from '../../src/fs/dir.js';
import { armFaults } from '../../src/fs/seam.js';
import { nsms3 } from '../../src/source/nsms3/source.js';
import { mailboxPathComponents } from '../../src/store/names.js';
import { loadAddTo } from '../../src/upgrade/additions-open.js';
import { prepareTaskOf } from '../../src/upgrade/folder-places.js';
import { release } from '../../src/upgrade/run.js';
import { prepareFolder } from '../../src/upgrade/steps.js';
import type { PrepareFolder, PrepareResult, WorkerContext } from '../../src/upgrade/tasks.js';
import { fillFolder, migrate, type SmallStore, simpleMessage, smallStore } from '../support/migrated-store.js';
import { ACCOUNT, databases } from './small-store.js';

const INBOX = 'user/joe/INBOX';

let store: SmallStore | undefined;
afterEach(() => store?.remove());

/** joe's INBOX, published without a message that failed, and with `.retry` as a stopped retry leaves it. */
function stoppedRetry(made: SmallStore): { readonly partition: string; readonly mailbox: string } {
  made.user('joe');
  fillFolder(
    made,
    'joe',
    'INBOX',
    7,
    [1, 2].map((uid) => ({ uid, content: simpleMessage(`m${uid}`) })),
  );
  const broken = join(made.mailbox, 'joe/INBOX/msg2');
  fs.renameSync(broken, `${broken}.aside`);
  fs.symlinkSync('/etc/passwd', broken);
  migrate(made, { acceptFailures: true });
  fs.renameSync(`${broken}.aside`, broken);
  const partition = join(made.instance, 'store/partition/primary');
  const mailbox = join(partition, ...mailboxPathComponents('joe', INBOX));
  fs.mkdirSync(join(mailbox, '.retry'));
  fs.copyFileSync(join(mailbox, 'store.idx'), join(mailbox, '.retry/store.idx'));
  return { partition, mailbox };
}

it.each(['EIO', 'ENOSPC'] as const)('what was brought in cannot be noted: %s of the partition', async (name) => {
  store = smallStore();
  const { partition, mailbox } = stoppedRetry(store);
  const context: WorkerContext = {
    engine: 'portable',
    progress: new Int32Array(16),
    pace: null,
    ownerUid: ACCOUNT.uid,
    ownerGid: ACCOUNT.gid,
    setOwner: process.geteuid?.() === 0,
    takeForeign: false,
    publishWithFailures: true,
  };
  const tools = { engine: await selectEngine('portable'), source: nsms3, context };
  const addTo = await loadAddTo();
  const [from, to] = [openRoot(store.mailbox), openRoot(partition)];
  const task = await databases(store, (mapping, mailboxes): PrepareFolder => {
    const folder = mapping.folderByMailbox(INBOX)!;
    return prepareTaskOf({ mapping, mailboxes }, folder, {
      source: { rootFd: from.fd, rootPath: from.path, components: ['joe', 'INBOX'] },
      target: { rootFd: to.fd, rootPath: to.path, components: mailboxPathComponents('joe', INBOX) },
    });
  });
  const errno = constants.errno[name];
  const failures: Extract<PrepareResult, { kind: 'failed' }>[] = [];
  for (let n = 1; ; n++) {
    fs.rmSync(join(mailbox, '.retry/done'), { force: true });
    armFaults({ mode: 'fail', at: n, errno, report: '' });
    const result = prepareFolder(tools, task, addTo);
    armFaults(undefined);
    if (result.kind === 'failed') failures.push(result);
    if (result.kind !== 'ready') continue;
    release({ planMemory: [] }, result);
    break;
  }
  for (const dir of [from, to]) closeDir(dir);
  // Creating, writing, syncing and renaming `done`, at least.
  const ofPartition = failures.filter(({ trouble }) => trouble?.side === 'target');
  expect(ofPartition.length).toBeGreaterThan(3);
  for (const { failure, trouble } of ofPartition) {
    expect([failure.code, failure.where, trouble?.errno]).toEqual(['FOLDER_TARGET', mailbox, errno]);
  }
});
