/**
 * Really full, really read-only, really broken disks: small file systems on loop devices. After each run: exit 4 (or 3
 * before the start), nothing half-visible, 3.x whole, the device told once; after the repair the same command ends
 * with 0 at the result of an undisturbed run, and nothing is left over.
 *
 *     npm run campaign -- full [--long] [-- --only <part of a scenario's name> --engine native]
 */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { engines, resultProblems, type Undisturbed, undisturbed } from '../support/converge.js';
import { originals } from '../support/kept-site.js';
import { memoryGround } from '../support/memory.js';
import { type DiskType, diskMissing, type SmallDisk, type SmallDiskOptions, smallDisk } from '../support/small-disk.js';
import type { Campaign, CampaignOutcome } from '../types.js';
import { disturbedRun, type Ended, type FullSite, makeFullSite, type OnDisk, stateProblems, states } from './site.js';

interface Scenario {
  readonly name: string;
  readonly disk: SmallDiskOptions;
  readonly onDisk: OnDisk;
  /** Part of the quick form. */
  readonly quick?: boolean;
  /** Runs the command under trouble. */
  disturb(site: FullSite, disk: SmallDisk, args: readonly string[]): Promise<Ended> | Ended;
  /** What the operator does about it. */
  repair(disk: SmallDisk, site: FullSite): void;
  /** After the last run the disk is mounted once more: only what is on it counts. */
  readonly mountedAgain?: boolean;
  /** Beyond exit 4 and one entry: what the report must say. */
  readonly expect?: RegExp;
  /** Codes that fit; 4 unless given. */
  readonly exits?: readonly number[];
  /** The trouble is of one target device: it is told once, and the other partition is finished. */
  readonly oneDevice?: boolean;
}

const plain = (site: FullSite, args: readonly string[]): Ended => {
  const { status, stdout, stderr } = site.command('upgrade', '-m', '-t', '1', '--json', ...args);
  return { status, stdout, stderr, disturbed: true };
};
const DISKS: readonly DiskType[] = ['ext4', 'xfs', 'btrfs'];

function scenarios(): Scenario[] {
  const list: Scenario[] = [];
  for (const type of DISKS) {
    const disk = { type, megabytes: 64 };
    list.push(
      {
        name: `${type}: the partition is too small from the start`,
        disk,
        onDisk: 'partition',
        disturb(site, small, args) {
          small.fill(1_000_000);
          return plain(site, args);
        },
        repair: (small) => small.makeSpace(),
        expect: /SPACE_NEEDED|ENOSPC/,
      },
      {
        name: `${type}: the partition fills up under way`,
        quick: type === 'ext4',
        disk,
        onDisk: 'partition',
        disturb: (site, small, args) =>
          disturbedRun(site, args, () => {
            small.fill(0);
            return true;
          }),
        repair: (small) => small.makeSpace(),
        expect: /ENOSPC/,
        oneDevice: true,
      },
      {
        name: `${type}: the partition is mounted read-only under way`,
        disk,
        onDisk: 'partition',
        disturb: (site, small, args) => disturbedRun(site, args, () => small.remount('ro')),
        repair: (small) => void small.remount('rw'),
        expect: /EROFS/,
        oneDevice: true,
      },
      {
        name: `${type}: no block is left where 3.x is`,
        disk: { type, megabytes: 64 },
        onDisk: 'store',
        disturb(site, small, args) {
          small.fill(0);
          return plain(site, args);
        },
        repair: (small) => small.makeSpace(),
        expect: /ENOSPC|SPACE_NEEDED/,
        // btrfs keeps room for metadata: then everything fits.
        exits: type === 'ext4' ? [4] : [4, 0],
      },
    );
  }
  list.push(
    thinStorage('ext4'),
    thinStorage('xfs'),
    {
      name: 'ext4: inodes run out where 3.x is',
      quick: true,
      disk: { type: 'ext4', megabytes: 64, inodes: 1024 },
      onDisk: 'store',
      disturb(site, small, args) {
        // The estimate before the start asks for two a folder; hash directories come on top.
        small.fillInodes(29);
        return plain(site, args);
      },
      repair: (small) => small.makeSpace(),
      expect: /ENOSPC/,
    },
    {
      name: 'btrfs: the quota of the partition is exceeded',
      quick: true,
      disk: { type: 'btrfs', megabytes: 128 },
      onDisk: 'partition',
      async disturb(site, small, args) {
        return disturbedRun(site, args, () => quota(small, '1M'));
      },
      repair: (small) => void quota(small, 'none'),
      expect: /EDQUOT/,
      oneDevice: true,
    },
  );
  for (const leave of [0, 16_384, 65_536]) {
    list.push(
      {
        name: `ext4: ${leave} bytes are left for the mapping database`,
        quick: leave === 0,
        disk: { type: 'ext4', megabytes: 64 },
        onDisk: 'mailbox-directory',
        disturb(site, small, args) {
          small.fill(leave);
          return plain(site, args);
        },
        repair: (small) => small.makeSpace(),
        exits: [3, 4, 0],
      },
      {
        name: `ext4: ${leave} bytes are left for the instance`,
        disk: { type: 'ext4', megabytes: 64 },
        onDisk: 'instance',
        disturb(site, small, args) {
          small.fill(leave);
          return plain(site, args);
        },
        repair: (small) => small.makeSpace(),
        exits: [3, 4, 0],
      },
    );
  }
  return list;
}

/** A limit of the directory `part`, which is a sub-volume when it was made for that. */
function quota(disk: SmallDisk, limit: string): boolean {
  const enabled = spawnSync('btrfs', ['quota', 'enable', disk.directory]).status === 0;
  // The whole file system is sub-volume 5.
  return enabled && spawnSync('btrfs', ['qgroup', 'limit', limit, '0/5', disk.directory]).status === 0;
}

/**
 * Storage that is smaller than the disk on it. Not with btrfs: Linux 6.18 leaves a superblock whose tree root was never
 * written (a disk that cannot be mounted any more), whatever ran on it.
 */
function thinStorage(type: 'ext4' | 'xfs'): Scenario {
  return {
    name: `${type}: the storage below the partition gives out (EIO)`,
    quick: type === 'xfs',
    disk: {
      type,
      megabytes: 64,
      thinBytes: 1_500_000,
      ...(type === 'ext4' ? { mountOptions: 'errors=remount-ro' } : {}),
    },
    onDisk: 'partition',
    disturb: (site, _small, args) => plain(site, args),
    // Without an unmount where that goes: what the storage refused is whole in the page cache still, and counts as
    // written there.
    repair(small) {
      small.storage(1 << 30);
      if (!isWritable(small)) small.repair();
    },
    mountedAgain: true,
    // What the storage says is handed on: EIO, or ENOSPC.
    expect: /EIO|EROFS|ENOSPC/,
    oneDevice: true,
  };
}

export const campaign: Campaign = {
  about:
    'full, read-only and broken disks (loop mounts of ext4, xfs, btrfs): exit 4, told once, resumes after the repair',
  async run(options) {
    const { values } = parseArgs({
      args: [...options.args],
      options: { only: { type: 'string' }, engine: { type: 'string' } },
    });
    const problems: string[] = [];
    const notes: string[] = [
      ...quotaNotes(),
      'btrfs on storage that gives out: not tried, it cannot be mounted afterwards',
    ];
    const results: GoldenResults = new Map();
    const ground = memoryGround('full', '2g');
    let cases = 0;
    try {
      for (const scenario of scenarios()) {
        if (values.only !== undefined ? !scenario.name.includes(values.only) : !options.long && scenario.quick !== true)
          continue;
        const missing = diskMissing(scenario.disk.type);
        if (missing !== undefined) {
          notes.push(`${scenario.name}: not tried, ${missing}`);
          continue;
        }
        const chosen = (options.long ? engines() : engines().slice(0, 1)).filter(
          (engine) => values.engine === undefined || engine === values.engine,
        );
        for (const engine of chosen) {
          cases += 1;
          // A signal that came meanwhile is seen now.
          await nextTurn();
          const flag = engine === 'native' ? '--native' : '--no-native';
          const outcome = await tryScenario(scenario, flag, ground.root, results).catch((error: unknown) => ({
            problems: [`the scenario itself failed: ${error instanceof Error ? error.stack : error}`],
            said: 'not finished',
          }));
          for (const problem of outcome.problems) problems.push(`${scenario.name}, ${engine}: ${problem}`);
          const note = `${scenario.name}, ${engine}: ${outcome.said}`;
          notes.push(note);
          if (options.long) options.log(`${note}; ${problems.length} problems so far`);
        }
      }
    } finally {
      ground.remove();
    }
    return { cases, problems, notes } satisfies CampaignOutcome;
  },
};

function quotaNotes(): string[] {
  const config = spawnSync('zgrep', ['-E', '^CONFIG_(QFMT_V2|XFS_QUOTA)=', '/proc/config.gz'], { encoding: 'utf8' });
  return config.status === 0
    ? []
    : [
        'user quotas of ext4 and xfs: not tried, this kernel has neither CONFIG_QFMT_V2 nor CONFIG_XFS_QUOTA; btrfs has its own',
      ];
}

function isWritable({ directory }: SmallDisk): boolean {
  const file = path.join(directory, '.writable');
  try {
    fs.writeFileSync(file, '');
    fs.rmSync(file);
    return true;
  } catch {
    return false;
  }
}

/** Results of undisturbed runs, which scenarios with the same ground share. */
type GoldenResults = Map<string, Undisturbed>;

async function tryScenario(
  scenario: Scenario,
  engine: string,
  root: string,
  results: GoldenResults,
): Promise<{ problems: string[]; said: string }> {
  let disk: SmallDisk | undefined;
  try {
    const key = `${scenario.disk.type} ${scenario.onDisk} ${engine}`;
    // The result of a run on a disk with room enough, at the same paths.
    const golden =
      results.get(key) ??
      withDisk(root, scenario, { ...scenario.disk, megabytes: 512 }, (_roomy, site) => {
        expectOk(site.command('upgrade', '-m', '-t', '1', '--json', engine));
        return undisturbed(site);
      });
    results.set(key, golden);
    fs.rmSync(path.join(root, 'site'), { recursive: true, force: true });
    disk = smallDisk(root, 'small', scenario.disk);
    const site = makeFullSite(root, disk.directory, scenario.onDisk);
    // What was there before must be there after a disk was mounted anew.
    spawnSync('sync', ['-f', disk.directory]);
    const before = originals(site);
    const ended = await scenario.disturb(site, disk, [engine]);
    const problems = endProblems(scenario, ended, site);
    scenario.repair(disk, site);
    problems.push(...stateProblems(site, before), ...afterRepair(site, engine, golden));
    if (scenario.mountedAgain === true && problems.length === 0) {
      disk.repair();
      problems.push(...resultProblems(site, golden).map((problem) => `mounted again: ${problem}`));
    }
    return { problems, said: `exit ${ended.status}, ${cause(ended)}` };
  } finally {
    disk?.remove();
    fs.rmSync(path.join(root, 'site'), { recursive: true, force: true });
  }
}

function withDisk<T>(
  root: string,
  { onDisk }: Scenario,
  { thinBytes: _, inodes: __, ...options }: SmallDiskOptions,
  use: (disk: SmallDisk, site: FullSite) => T,
): T {
  const disk = smallDisk(root, 'small', options);
  try {
    return use(disk, makeFullSite(root, disk.directory, onDisk));
  } finally {
    disk.remove();
  }
}

function expectOk({ status, stdout, stderr }: ReturnType<FullSite['command']>): void {
  if (status !== 0) throw new Error(`the undisturbed run ended with ${status}: ${stderr}${stdout}`);
}

interface Report {
  readonly halted: { readonly code: string; readonly message: string } | null;
  readonly errors: readonly { readonly code: string; readonly message: string }[];
  readonly devices: readonly { readonly path: string; readonly call: string; readonly errno: string }[];
}

function reportOf(ended: Ended): Report | undefined {
  try {
    return JSON.parse(ended.stdout) as Report;
  } catch {
    return undefined;
  }
}

function cause(ended: Ended): string {
  const report = reportOf(ended);
  const [device] = report?.devices ?? [];
  if (device !== undefined) return `${device.call} ${device.errno}`;
  return (
    report?.halted?.code ??
    ended.stderr
      .split('\n')
      .find((line) => line !== '')
      ?.slice(0, 120) ??
    ''
  );
}

function endProblems(scenario: Scenario, ended: Ended, site: FullSite): string[] {
  const problems: string[] = [];
  const text = ended.stdout + ended.stderr;
  if (!ended.disturbed) return ['the run was over before it could be disturbed'];
  if (ended.status === null || !(scenario.exits ?? [4]).includes(ended.status))
    problems.push(`ended with ${ended.status}: ${text.slice(0, 1_500)}`);
  const ours = text.replace(/^.*\n {4}at .*node_modules\/lmdb\/.*(\n {4}at .*)*/gm, '');
  if (/INTERNAL|\n {4}at \S/.test(ours)) problems.push(`a stack trace: ${text.slice(0, 1_500)}`);
  if (ended.status === 0) return problems;
  if (scenario.expect !== undefined && !scenario.expect.test(text))
    problems.push(`does not say ${scenario.expect}: ${text.slice(0, 1_500)}`);
  if (scenario.oneDevice !== true || ended.status !== 4) return problems;
  const report = reportOf(ended);
  const told = report?.errors.filter(({ code }) => code === 'DEVICE_HALT') ?? [];
  if (told.length !== 1 || report?.devices.length !== 1 || report.errors.length !== 1)
    problems.push(`told ${told.length} times: ${text.slice(0, 2_000)}`);
  const logged = fs.readFileSync(site.log, 'utf8').split('DEVICE_HALT').length - 1;
  // The last line of the log names the code as well.
  if (logged !== 2) problems.push(`the log has ${logged} entries`);
  const waiting = states(site).filter(({ partition, state }) => partition !== 'primary' && state === 'TRANSITION');
  if (waiting.length > 0) problems.push(`${waiting.length} folders of the other disk did not go on`);
  return problems;
}

function afterRepair(site: FullSite, engine: string, golden: Undisturbed): string[] {
  const { status, stdout, stderr } = site.command('upgrade', '-m', '-t', '1', '--json', engine);
  if (status !== 0) return [`after the repair the run ended with ${status}: ${(stderr + stdout).slice(0, 1_500)}`];
  return resultProblems(site, golden);
}
