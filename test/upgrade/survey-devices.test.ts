/** The look before copies and `--dry-run` keep to the limits of each 3.x disk: a slow one has no thread that another wants. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadDigest } from '../../src/store/digest.js';
import { placesOf, prepareTaskOf } from '../../src/upgrade/folder-places.js';
import { closeRoots } from '../../src/upgrade/roots.js';
import { openSession, type Session } from '../../src/upgrade/session.js';
import { surveyFolders } from '../../src/upgrade/survey-all.js';
import { addWork, type Workload } from '../../src/upgrade/trouble.js';
import type { MappingFolder } from '../../src/upgrade/types.js';
import { buildWorklist } from '../../src/upgrade/worklist.js';
import { INDEX, run, type SmallStore, smallStore } from './small-store.js';
import { runHere } from './thread-support.js';

const USERS = ['anna', 'bert', 'carl', 'dora'];

let store: SmallStore;
let session: Session;
/** Store paths that are not held count as devices of their own (routes.ts). */
let slow: string;
let fast: string;

beforeEach(async () => {
  await loadDigest();
  store = smallStore();
  slow = store.storePath('mail/slow');
  fast = store.storePath('mail/fast');
  for (const [disk, storePath] of [slow, fast].entries()) {
    for (const name of USERS) {
      store.user(`${name}${disk}`, { mailMessageStore: storePath });
      store.folder(storePath, `${name}${disk}`, 'INBOX', INDEX(100));
    }
  }
  store.finish();
  await run(store);
  session = await openSession({ instance: store.instance }, 'test');
});

afterEach(async () => {
  await session.close();
  store.remove();
});

const storePathOf = ({ uid }: MappingFolder): string => session.mapping.user(uid)?.storePath ?? '';

it('is done with the fast one while the slow one has not answered once', async () => {
  const work = new Map<string, Workload>();
  // Those of the slow disk first. All go to one partition, whose limit is nothing to a look at 3.x.
  const list = buildWorklist(
    [...session.mapping.folders()].sort((a, b) => Number(storePathOf(a) === fast) - Number(storePathOf(b) === fast)),
    () => true,
    (folder) => addWork(work, storePathOf(folder), 'partition', folder),
  );
  let [waiting, mostWaiting] = [0, 0];
  let leftOnFast = USERS.length;
  const leftAtAnswer: number[] = [];
  let answer = (): void => {};
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const made = await runHere(
    session,
    async () => {},
    async (task) => {
      if (task.kind !== 'survey' || task.folders.every(({ source }) => source.rootPath !== slow)) return;
      waiting += 1;
      mostWaiting = Math.max(mostWaiting, waiting);
      // Both threads wait for it, or folders of the fast one do: nothing would ever happen again.
      if (waiting === 2 || task.folders.some(({ source }) => source.rootPath !== slow)) answer();
      await answered;
      leftAtAnswer.push(leftOnFast);
      waiting -= 1;
    },
  );
  const surveyed: string[] = [];
  await surveyFolders({ ...made, options: { threads: 2, queue: 1 } }, work.values(), list, {
    load: (id) => session.mapping.folder(id),
    taskOf: (folder) => prepareTaskOf(made, folder, placesOf(made, folder)),
    take(folder, result) {
      expect(result).toMatchObject({ kind: 'planned', messages: 0 });
      surveyed.push(folder.uid);
      if (storePathOf(folder) === fast) leftOnFast -= 1;
      if (leftOnFast === 0) answer();
    },
    isStopped: () => false,
  });
  closeRoots(made.roots);
  expect({ mostWaiting, leftOnFast: leftAtAnswer[0] }).toEqual({ mostWaiting: 1, leftOnFast: 0 });
  expect(surveyed.sort()).toEqual(USERS.flatMap((name) => [`${name}0`, `${name}1`]));
});

it('ends with the first error, when nothing is under way any more', async () => {
  const folders = [...session.mapping.folders()];
  let underWay = 0;
  const made = await runHere(
    session,
    async () => {
      underWay -= 1;
    },
    async () => {
      underWay += 1;
    },
  );
  const taken: string[] = [];
  const looked = surveyFolders(
    { ...made, options: { threads: 2, queue: 1 } },
    [],
    buildWorklist(folders, () => true),
    {
      load: (id) => session.mapping.folder(id),
      taskOf: (folder) => prepareTaskOf(made, folder, placesOf(made, folder)),
      take(folder) {
        taken.push(folder.uid);
        if (taken.length === 2) throw new Error('broken');
      },
      isStopped: () => false,
    },
  );
  await expect(looked).rejects.toThrow('broken');
  closeRoots(made.roots);
  expect(underWay).toBe(0);
  expect(taken.length).toBeLessThan(folders.length);
});
