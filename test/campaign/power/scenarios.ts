/** The runs during which the power fails. */
import type { Site } from '../support/kept-site.js';
import { foldersArgs, messagesArgs, type SiteKind, type State } from './site.js';

export interface Scenario {
  readonly name: string;
  readonly site: SiteKind;
  /** The state before the run. */
  readonly from: State;
  /** Arguments of `upgrade`, for each process of the run; more than one run at the same time. */
  readonly attempt: (site: Site) => readonly (readonly string[])[];
  /** Arguments of `upgrade` after the power loss, one after the other; each must end with 0. */
  readonly resume: (site: Site) => readonly (readonly string[])[];
  /**
   * Another process calls fsync on the same file systems all the while. Each call commits the journal: names and
   * sizes become durable that the run itself has not made so, without the data behind them.
   */
  readonly stirred: boolean;
  /** Share of the crash points of the campaign that this scenario gets. */
  readonly weight: number;
}

type Engine = 'native' | 'portable';

function flag(engine: Engine): string {
  return engine === 'native' ? '--native' : '--no-native';
}

function messages(
  name: string,
  site: SiteKind,
  from: State,
  args: readonly string[],
  more: Partial<Scenario> = {},
): Scenario {
  const attempt = (at: Site): string[][] => [messagesArgs(at, args)];
  // One thread starts sooner; the result is the same.
  const resume = (at: Site): string[][] => [messagesArgs(at, args, 1)];
  return { name, site, from, attempt, resume, stirred: true, weight: 1, ...more };
}

/** All scenarios for the engines that are there. */
export function scenarios(engines: readonly Engine[]): Scenario[] {
  const all: Scenario[] = [];
  const [first = 'portable'] = engines;
  all.push({
    name: '-s',
    site: 'small',
    from: 'fresh',
    attempt: (site) => [foldersArgs(site)],
    resume: (site) => [foldersArgs(site), messagesArgs(site, [flag(first)], 1)],
    stirred: false,
    weight: 1,
  });
  for (const engine of engines) {
    const on = flag(engine);
    all.push(
      messages(`-m, ${engine}`, 'small', 'folders', [on]),
      messages(`-m -r, ${engine}`, 'small', 'folders', [on, '-r']),
      messages(`-m -r, ${engine}, undisturbed`, 'small', 'folders', [on, '-r'], { stirred: false }),
      messages(`-m -r, ${engine}, two disks`, 'two', 'folders', [on, '-r']),
      messages(`-m after failures, ${engine}`, 'small', 'failures', [on]),
      messages(`-m -r after failures, ${engine}`, 'small', 'failures', [on, '-r']),
    );
  }
  const on = flag(first);
  const twice = (site: Site): string[][] => [messagesArgs(site, [on, '-r']), messagesArgs(site, [on, '-r'])];
  all.push(
    messages('late -m -r', 'small', 'migrated', [on, '-r']),
    messages('-m -r, groups of many folders', 'many', 'folders', [on, '-r'], { weight: 2 }),
    messages('-m -r, two processes', 'many', 'folders', [on, '-r'], { attempt: twice }),
  );
  return all;
}
