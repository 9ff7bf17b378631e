/**
 * `upgrade --reset`, stopped at its n-th effective call (killed, or the call fails), then run again: both stores must
 * be as after a reset that was never stopped, no message may ever be without a name, and `-s`, `-m` must give the
 * result of a fresh store.
 *
 *     npm run campaign -- reset                        a sample
 *     npm run campaign -- reset --long                 every call
 *     npm run campaign -- reset -- --every 5 --only far
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import {
  command,
  fingerprint,
  keep,
  makeSite,
  restore,
  type Site,
  survivingContents,
  upgradeFolders,
  upgradeMessages,
} from '../support/kept-site.js';
import { leftByReset } from '../support/left-by-reset.js';
import type { Campaign, CampaignOptions, CampaignOutcome } from '../types.js';

/** Another file system than that of the temporary directory. */
const ELSEWHERE = '/dev/shm';

/** Every so many cases `-s` and `-m` are run as well: what they start from was compared already. */
const MIGRATE_EVERY = 20;

/** Every so many cases it is seen that other commands refuse in between. */
const OTHER_EVERY = 8;

const ERRNOS = ['EIO', 'ENOSPC', 'EACCES', 'EMFILE'] as const;

interface Scenario {
  readonly name: string;
  readonly about: string;
  /** Partitions that lie on another file system, by name; undefined: all beside their 3.x store path. */
  readonly far: string | undefined;
  /** Brings the site, after `-s`, to the state that is reset. */
  prepare(site: Site): void;
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'removed',
    about: 'after -m -r: linked, rewritten and shared messages are in 4.x only',
    far: undefined,
    prepare: (site) => expectExit(upgradeMessages(site, ['-r']), 0, '-m -r'),
  },
  {
    name: 'kept',
    about: 'after -m: everything is in 3.x still',
    far: undefined,
    prepare: (site) => expectExit(upgradeMessages(site, []), 0, '-m'),
  },
  {
    name: 'far',
    about: 'after -m -r onto another file system: everything must be copied back',
    far: ELSEWHERE,
    prepare: (site) => expectExit(upgradeMessages(site, ['-r']), 0, '-m -r'),
  },
  {
    name: 'partly',
    about: 'after -m, and -r for one user: shared messages have names on both sides',
    far: undefined,
    prepare(site) {
      expectExit(upgradeMessages(site, []), 0, '-m');
      const list = path.join(site.root, 'site', 'one.txt');
      const lines = fs.readFileSync(path.join(site.stores[0] ?? '', '__up.primary.txt'), 'utf8').split('\n');
      fs.writeFileSync(list, `${lines.slice(0, 4).join('\n')}\n`, { mode: 0o644 });
      expectExit(command('upgrade', ['-u', list, '-r', '--json', '--instance', site.instance]), 0, '-u -r');
    },
  },
  {
    name: 'halted',
    about: 'after a -m -r that was killed half-way, the case of the guide',
    far: undefined,
    prepare(site) {
      const report = path.join(site.root, 'calls');
      keep(site, 'before-halt');
      expectExit(upgradeMessages(site, ['-r'], { MAILHAUL_FAULT: `count:${report}` }), 0, '-m -r');
      restore(site, 'before-halt');
      // Some folders are published and removed, others are not begun.
      const calls = Math.floor(Number(fs.readFileSync(report, 'utf8')) * 0.6);
      upgradeMessages(site, ['-r', '-q', '1'], { MAILHAUL_FAULT: `kill:${calls}` });
    },
  },
];

type Result = ReturnType<typeof command>;

function expectExit(result: Result, status: number, what: string): void {
  if (result.status === status) return;
  throw new Error(`${what} ended with ${result.status ?? result.signal}: ${result.stderr}${result.stdout}`);
}

function reset(site: Site, env: Readonly<Record<string, string>> = {}): Result {
  return command('upgrade', ['--reset', '--yes', '--json', '--instance', site.instance], env);
}

/** A site in one state that can be brought back, with partitions perhaps on another file system. */
interface State {
  readonly site: Site;
  restore(): void;
  remove(): void;
}

function copyTree(from: string, to: string): void {
  fs.rmSync(to, { recursive: true, force: true });
  const { status, stderr } = spawnSync('cp', ['-a', from, to], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cp -a ${from} ${to}: ${stderr}`);
}

/** `-s` and what the scenario does, from the fresh site. */
function prepare(fresh: Site, scenario: Scenario): State {
  restore(fresh, 'fresh');
  expectExit(upgradeFolders(fresh), 0, '-s');
  let site = fresh;
  let far: string | undefined;
  if (scenario.far !== undefined) {
    far = fs.mkdtempSync(path.join(scenario.far, 'mailhaul-reset-'));
    fs.chmodSync(far, 0o755);
    const { uid, gid } = fs.statSync(fresh.stores[0] ?? '');
    const partitions: string[] = [];
    for (const name of ['primary', path.basename(fresh.stores[1] ?? '')]) {
      const directory = path.join(far, 'disk', name);
      fs.mkdirSync(directory, { recursive: true });
      fs.chownSync(directory, uid, gid);
      fs.chmodSync(directory, 0o700);
      const args = ['--instance', fresh.instance, '-o', `store.partition.${name}.path`, '-v', directory];
      expectExit(command('configutil', args), 0, 'configutil');
      partitions.push(directory);
    }
    site = { ...fresh, partitions };
  }
  scenario.prepare(site);
  fs.rmSync(path.join(site.root, 'state'), { recursive: true, force: true });
  keep(site, 'state');
  if (far !== undefined) copyTree(path.join(far, 'disk'), path.join(far, 'kept'));
  const elsewhere = far;
  return {
    site,
    restore() {
      restore(site, 'state');
      if (elsewhere !== undefined) copyTree(path.join(elsewhere, 'kept'), path.join(elsewhere, 'disk'));
    },
    remove() {
      if (elsewhere !== undefined) fs.rmSync(elsewhere, { recursive: true, force: true });
    },
  };
}

function firstDifference(expected: readonly string[], actual: readonly string[]): string | undefined {
  const missing = expected.find((line) => !actual.includes(line));
  const extra = actual.find((line) => !expected.includes(line));
  if (missing === undefined && extra === undefined) return undefined;
  return `\n  expected ${missing ?? '(nothing)'}\n  found    ${extra ?? '(nothing)'}`;
}

/** One way of stopping a reset. */
interface Stop {
  readonly fault: string;
  /** Exit codes that the stopped run may end with; null for a signal. */
  readonly exits: readonly (number | null)[];
}

interface Golden {
  /** Result of `-s` and `-m` on the fresh site. */
  readonly migrated: readonly string[];
}

class ScenarioRun {
  readonly problems: string[] = [];
  cases = 0;
  stopped = 0;

  constructor(
    private readonly scenario: Scenario,
    private readonly state: State,
    private readonly golden: Golden,
    private readonly options: CampaignOptions,
  ) {}

  /** Returns the effective calls of a reset that is not stopped. */
  async run(every: number, offset: number): Promise<number> {
    const { state, scenario } = this;
    const report = path.join(state.site.root, 'calls');
    state.restore();
    expectExit(reset(state.site, { MAILHAUL_FAULT: `count:${report}` }), 0, `${scenario.name}: --reset`);
    const calls = Number(fs.readFileSync(report, 'utf8'));
    const left = leftByReset(state.site);
    this.migrateAgain('not stopped');
    for (let n = 1 + (offset % every); n <= calls; n += every) {
      this.attack({ fault: `kill:${n}`, exits: [null] }, left);
      const errno = ERRNOS[n % ERRNOS.length] ?? 'EIO';
      // A refusal before the first change, a halt after it; what is only tidying up may go on.
      if (this.options.long || (n - 1) % (every * 3) === offset % every)
        this.attack({ fault: `fail:${n}:${errno}`, exits: [0, 3, 4] }, left);
      // Commands run synchronously: only here a signal is seen.
      await nextTurn();
      if (this.cases % 50 === 0) this.options.log(`${scenario.name}: call ${n} of ${calls}`);
    }
    return calls;
  }

  private attack({ fault, exits }: Stop, left: readonly string[]): void {
    const { site } = this.state;
    const problem = (text: string): void => {
      this.problems.push(`${this.scenario.name}, ${fault}: ${text}`);
    };
    this.cases += 1;
    this.state.restore();
    const first = reset(site, { MAILHAUL_FAULT: fault });
    if (first.status !== 0) this.stopped += 1;
    if (!exits.includes(first.status)) problem(`ended with ${first.status}: ${first.stderr}`);
    const surviving = survivingContents(site);
    const lost = [...site.contents].filter((content) => !surviving.has(content));
    if (lost.length > 0) problem(`${lost.length} messages have no name`);
    if (first.status === 4 && this.cases % OTHER_EVERY === 0) {
      const other = upgradeMessages(site, []);
      if (other.status !== 3) problem(`-m in between ended with ${other.status}, not 3: ${other.stdout}`);
    }
    const again = reset(site);
    if (again.status !== 0) {
      problem(`the next --reset ended with ${again.status ?? again.signal}: ${again.stderr}${again.stdout}`);
      return;
    }
    const difference = firstDifference(left, leftByReset(site));
    if (difference !== undefined) problem(`other things are left:${difference}`);
    if (this.cases % MIGRATE_EVERY === 0) this.migrateAgain(fault);
  }

  /** After a reset `-s` and `-m` must give what they give on the fresh site. */
  private migrateAgain(what: string): void {
    const { site } = this.state;
    const fresh = { ...site, partitions: freshPartitions(site) };
    expectExit(upgradeFolders(fresh), 0, `${this.scenario.name}, ${what}: -s`);
    expectExit(upgradeMessages(fresh, []), 0, `${this.scenario.name}, ${what}: -m`);
    const difference = firstDifference(this.golden.migrated, fingerprint(fresh));
    if (difference !== undefined) this.problems.push(`${this.scenario.name}, ${what}: -s, -m give else:${difference}`);
  }
}

/** `-s` sets the paths back to their defaults. */
function freshPartitions(site: Site): string[] {
  const [, ...others] = site.stores;
  return [
    path.join(site.instance, 'store/partition/primary'),
    ...others.map((store) => path.join(store, `.0004x.${path.basename(store)}`)),
  ];
}

async function run(options: CampaignOptions): Promise<CampaignOutcome> {
  const { values } = parseArgs({
    args: [...options.args],
    options: { every: { type: 'string' }, only: { type: 'string', multiple: true } },
  });
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-reset-'));
  const states: State[] = [];
  const notes: string[] = [];
  const problems: string[] = [];
  let cases = 0;
  const cleanUp = (): void => {
    for (const state of states) state.remove();
    fs.rmSync(root, { recursive: true, force: true });
  };
  process.once('exit', cleanUp);
  try {
    const site = makeSite(root);
    keep(site, 'fresh');
    expectExit(upgradeFolders(site), 0, '-s');
    expectExit(upgradeMessages(site, []), 0, '-m');
    const golden = { migrated: fingerprint(site) };
    for (const [number, scenario] of SCENARIOS.entries()) {
      if (values.only !== undefined && !values.only.includes(scenario.name)) continue;
      if (scenario.far !== undefined && !isElsewhere(root, scenario.far)) {
        notes.push(`${scenario.name}: not tried, ${scenario.far} is no file system of its own here`);
        continue;
      }
      const state = prepare(site, scenario);
      states.push(state);
      const tried = new ScenarioRun(scenario, state, golden, options);
      const every = Number(values.every ?? (options.long ? 1 : QUICK_EVERY[scenario.name]));
      const calls = await tried.run(every, seedNumber(options.seed) + number);
      cases += tried.cases;
      problems.push(...tried.problems);
      notes.push(
        `${scenario.name} (${scenario.about}): ${calls} effective calls, ${tried.cases} cases, ${tried.stopped} stopped`,
      );
      state.remove();
    }
  } finally {
    process.off('exit', cleanUp);
    cleanUp();
  }
  return { cases, problems, notes };
}

/** A sample of one or two calls a scenario. */
const QUICK_EVERY: Readonly<Record<string, number>> = { removed: 80, kept: 70, far: 130, partly: 90, halted: 70 };

function isElsewhere(root: string, directory: string): boolean {
  return fs.existsSync(directory) && fs.statSync(directory).dev !== fs.statSync(root).dev;
}

/** Where in the first step the sample begins. */
function seedNumber(seed: string): number {
  return createHash('sha256').update(seed).digest().readUInt32LE(0);
}

export const campaign: Campaign = {
  about: 'upgrade --reset stopped at any call and run again: both stores as after one that was not stopped',
  run,
};
