/**
 * The store that the rivals fight over, put back to the state after `upgrade -s` whenever it is finished:
 *
 *     <root>/site/   server3, disk1, disk2, server4, at paths that never change (databases hold them)
 *     <root>/kept/   a copy of it, with hard links and times
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Readable } from 'node:stream';
import { compareWithManifest, linesOf } from '../../support/generate/compare.js';
import { generateInstallation } from '../../support/generate/index.js';
import { commandFile } from '../../support/process.js';
import { surveyContents } from '../support/contents.js';

export interface Ground {
  readonly instance: string;
  /** User lists that `-s` wrote, one a partition. */
  readonly lists: readonly string[];
  /** Contents that must have a name, and have none. */
  lost(): number;
  /** Environment of a run whose effective calls are counted, and how many there were. */
  readonly counting: { readonly env: Readonly<Record<string, string>>; calls(): number };
  /** What is wrong with the finished store; every file is read again. */
  finished(): Promise<string[]>;
  restore(): void;
}

/** Arguments of node that run one of the commands on the ground. */
export function argv(command: string, args: readonly string[]): string[] {
  return [commandFile(command), ...args];
}

export function makeGround(root: string, seed: string, messages: number): Ground {
  const site = path.join(root, 'site');
  const made = generateInstallation({
    root: site,
    seed,
    users: Math.max(8, Math.round(messages / 500)),
    folders: 6,
    messages,
    size: 1_200,
    storePaths: 2,
    singleCopy: 0.2,
    bareLf: 0.15,
    damage: 0.3,
    damageKinds: ['file-without-line', 'uid-repeated', 'header-lost'],
    hostileNames: 0.2,
    emptyUsers: 2,
  });
  fs.chmodSync(root, 0o755);
  const instance = path.join(site, 'server4', 'msg-tango');
  const run = (command: string, ...args: string[]): SpawnSyncReturns<string> =>
    spawnSync(process.execPath, argv(command, ['--instance', instance, ...args]), {
      encoding: 'utf8',
      maxBuffer: 1 << 30,
    });
  must(run('upgrade', '-s', '--from', made.instance, '--directory', made.ldif), '-s');
  const kept = path.join(root, 'kept');
  copy(site, kept);
  const [workDir = ''] = made.storePaths;
  const partitions = [
    path.join(instance, 'store/partition/primary'),
    ...made.storePaths.slice(1).map((store) => path.join(store, `.0004x.${path.basename(store)}`)),
  ];
  const contents = surveyContents();
  const expected = [...contents.survey(made.storePaths, []).keys()];
  const counted = path.join(root, 'calls');
  let linkable = contents.linkable(made.storePaths);
  const lost = (): number => {
    const present = contents.survey(made.storePaths, partitions);
    return expected.filter((digest) => !present.has(digest)).length;
  };
  return {
    instance,
    lists: fs
      .readdirSync(workDir)
      .filter((name) => name.startsWith('__up.'))
      .map((name) => path.join(workDir, name)),
    lost,
    counting: {
      env: { MAILHAUL_FAULT: `count:${counted}` },
      calls: () => Number(fs.readFileSync(counted, 'utf8')),
    },
    async finished() {
      contents.forget();
      const problems = lost() === 0 ? [] : [`${lost()} contents are in no file of the finished store`];
      const linked = contents.inodes(partitions);
      const copied = linkable.filter((inode) => !linked.has(inode)).length;
      if (copied > 0) problems.push(`${copied} messages were copied that could have been linked`);
      const verified = run('upgrade', '--verify');
      if (verified.status !== 0) problems.push(`--verify: ${verified.status}: ${verified.stdout}${verified.stderr}`);
      if (made.manifest === null) throw new Error('made without a manifest');
      const lines = (result: SpawnSyncReturns<string>) => linesOf(Readable.from([result.stdout]));
      const list = run('mboxutil', '-l', '--json');
      const dump = run('mboxutil', '--dump', '--json');
      const compared = await compareWithManifest(made.manifest, lines(list), lines(dump));
      return [...problems, ...compared.problems.slice(0, 5)];
    },
    restore() {
      fs.rmSync(site, { recursive: true, force: true });
      copy(kept, site);
      linkable = contents.linkable(made.storePaths);
    },
  };
}

function copy(from: string, to: string): void {
  must(spawnSync('cp', ['-a', from, to], { encoding: 'utf8' }), `cp -a ${from}`);
}

function must({ status, stderr }: SpawnSyncReturns<string>, what: string): void {
  if (status !== 0) throw new Error(`${what}: ${status}: ${stderr}`);
}
