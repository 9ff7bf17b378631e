/** The runs during which the power fails. */
import type { Site } from '../support/kept-site.js';
import type { Readable } from './check.js';
import { foldersArgs, messagesArgs, resetArgs, type SiteKind, type State } from './site.js';

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
   * Another process calls fsync on these file systems all the while: on all, on that of the 4.x instance, on none.
   * Each call commits the journal: names and sizes become durable that the run itself has not made so, without the data
   * behind them. On one disk of two, what the run does there is durable before what it did on the other.
   */
  readonly stirred: 'all' | 'instance' | 'none';
  readonly readable: Readable;
  /** The first command of `resume` is a reset, after which both stores are compared. */
  readonly resets: boolean;
  /** The power fails twice: during the run, and during the run that follows. */
  readonly twice: boolean;
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
  const readable = from === 'used' ? 'growing' : 'whole';
  return {
    name,
    site,
    from,
    attempt,
    resume,
    stirred: 'all',
    readable,
    resets: false,
    twice: false,
    weight: 1,
    ...more,
  };
}

/** A reset; after it `-s` and `-m` must give the result of a fresh store. */
function reset(name: string, site: SiteKind, from: State, engine: Engine, more: Partial<Scenario> = {}): Scenario {
  return {
    name: `--reset ${name}`,
    site,
    from,
    attempt: (at) => [resetArgs(at)],
    resume: (at) => [resetArgs(at), foldersArgs(at), messagesArgs(at, [flag(engine)], 1)],
    stirred: 'all',
    readable: 'nothing',
    resets: true,
    twice: false,
    weight: 1,
    ...more,
  };
}

/** All scenarios for the engines that are there. */
export function scenarios(engines: readonly Engine[]): Scenario[] {
  const all: Scenario[] = [];
  const [first = 'portable'] = engines;
  const on = flag(first);
  all.push({
    ...messages('-s', 'small', 'fresh', []),
    attempt: (site) => [foldersArgs(site)],
    resume: (site) => [foldersArgs(site), messagesArgs(site, [on], 1)],
    stirred: 'none',
    readable: 'nothing',
  });
  for (const engine of engines) {
    const on = flag(engine);
    all.push(
      messages(`-m, ${engine}`, 'small', 'folders', [on]),
      messages(`-m -r, ${engine}`, 'small', 'folders', [on, '-r']),
      messages(`-m -r, ${engine}, undisturbed`, 'small', 'folders', [on, '-r'], { stirred: 'none' }),
      messages(`-m -r, ${engine}, two disks`, 'two', 'folders', [on, '-r']),
      messages(`-m after failures, ${engine}`, 'small', 'failures', [on]),
      messages(`-m -r after failures, ${engine}`, 'small', 'failures', [on, '-r']),
      messages(`-m -r in mailboxes in use, ${engine}`, 'small', 'used', [on, '-r']),
    );
  }
  const halfMigrated: Partial<Scenario> = { attempt: (at) => [messagesArgs(at, [on])] };
  const both = (site: Site): string[][] => [messagesArgs(site, [on, '-r']), messagesArgs(site, [on, '-r'])];
  all.push(
    messages('late -m -r', 'small', 'migrated', [on, '-r']),
    messages('-m -r, groups of many folders', 'many', 'folders', [on, '-r'], { weight: 2 }),
    messages('-m -r, two processes', 'many', 'folders', [on, '-r'], { attempt: both }),
    messages('-m in mailboxes in use, two disks', 'two', 'used', [on]),
    messages('-m -r in mailboxes in use, undisturbed, two disks', 'two', 'used', [on, '-r'], { stirred: 'none' }),
    reset('after -m', 'small', 'migrated', first),
    reset('after -m -r', 'small', 'removed', first),
    reset('after -m -r, undisturbed', 'small', 'removed', first, { stirred: 'none' }),
    reset('after -m -r, two disks', 'two', 'removed', first),
    reset('after -m -r, two disks, stirred where 4.x is', 'two', 'removed', first, { stirred: 'instance' }),
    reset('after a -m that the power loss stopped', 'small', 'folders', first, halfMigrated),
    reset('after a -m that the power loss stopped, two disks', 'two', 'folders', first, halfMigrated),
    messages('-m -r, crash after crash', 'small', 'folders', [on, '-r'], { twice: true }),
    messages('-m -r, crash after crash, two disks', 'two', 'folders', [on, '-r'], { twice: true }),
    messages('-m -r in mailboxes in use, crash after crash', 'small', 'used', [on, '-r'], { twice: true }),
    reset('after -m -r, crash after crash, two disks', 'two', 'removed', first, { twice: true, stirred: 'instance' }),
  );
  return all;
}
