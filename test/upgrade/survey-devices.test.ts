/** The look before copies and `--dry-run` keep to the limits of each 3.x disk: a slow one has no thread that another wants. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { placesOf, prepareTaskOf } from '../../src/upgrade/folder-places.js';
import { closeRoots } from '../../src/upgrade/roots.js';
import { storePathOf } from '../../src/upgrade/selection.js';
import type { Session } from '../../src/upgrade/session.js';
import { surveyFolders } from '../../src/upgrade/survey-all.js';
import { addWork, type Workload } from '../../src/upgrade/trouble.js';
import type { MappingFolder } from '../../src/upgrade/types.js';
import { buildWorklist } from '../../src/upgrade/worklist.js';
import { runHere } from './thread-support.js';
import { slowDisk, type TwoDisks, twoDisks, USERS } from './two-disks.js';

let disks: TwoDisks;
let session: Session;

beforeEach(async () => {
  disks = await twoDisks();
  session = disks.session;
});

afterEach(() => disks.close());

it('is done with the fast one while the slow one has not answered once', async () => {
  const { slow, fast } = disks;
  const isFast = (folder: MappingFolder): boolean => storePathOf(session.mapping, folder) === fast;
  const work = new Map<string, Workload>();
  // Those of the slow disk first. All go to one partition, whose limit is nothing to a look at 3.x.
  const list = buildWorklist(
    [...session.mapping.folders()].sort((a, b) => Number(isFast(a)) - Number(isFast(b))),
    () => true,
    (folder) => addWork(work, storePathOf(session.mapping, folder), 'partition', folder),
  );
  let leftOnFast = USERS.length;
  const leftAtAnswer: number[] = [];
  const disk = slowDisk(slow, 'survey');
  const made = await runHere(
    session,
    async () => {},
    (task) => disk.wait(task, () => leftAtAnswer.push(leftOnFast)),
  );
  const surveyed: string[] = [];
  await surveyFolders({ ...made, options: { threads: 2, queue: 1 } }, work.values(), list, {
    load: (id) => session.mapping.folder(id),
    taskOf: (folder) => prepareTaskOf(made, folder, placesOf(made, folder)),
    take(folder, result) {
      expect(result).toMatchObject({ kind: 'planned', messages: 0 });
      surveyed.push(folder.uid);
      if (isFast(folder)) leftOnFast -= 1;
      if (leftOnFast === 0) disk.answer();
    },
    isStopped: () => false,
  });
  closeRoots(made.roots);
  expect({ mostWaiting: disk.mostWaiting, leftOnFast: leftAtAnswer[0] }).toEqual({ mostWaiting: 1, leftOnFast: 0 });
  expect(surveyed.sort()).toEqual(USERS.flatMap((name) => [`${name}1`, `${name}2`]));
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
