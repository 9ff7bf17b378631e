/** Generated stores for tests of whole runs of `upgrade -m` and `-u`: made as needed, removed after each test. */
import { makeTestSite, messageFiles, type TestSite } from '../support/site.js';

type Options = Parameters<typeof makeTestSite>[0];

const sites: TestSite[] = [];

/** Without damage unless `options` say otherwise. */
export function newSite(options: Options = {}): TestSite {
  const made = makeTestSite({ damage: 0, ...options });
  sites.push(made);
  return made;
}

/** After `upgrade -s`. */
export function upgraded(options: Options = {}): TestSite {
  const made = newSite(options);
  const result = made.folders();
  if (result.status !== 0) throw new Error(result.stderr + result.stdout);
  return made;
}

export function removeSites(): void {
  for (const site of sites.splice(0)) site.remove();
}

/** The first message file of the first folder that has one; latin1 path. */
export function someMessage(made: TestSite): string {
  const file = made.made.storePaths.flatMap((store) => messageFiles(store)).sort()[0];
  if (file === undefined) throw new Error('the generator made no message');
  return file;
}
