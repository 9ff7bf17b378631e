/**
 * `npm run bench`: how fast is a migration here, beside `cp -a` and `cp -al` of the same tree?
 *
 * One round: a fresh file system; the same 3.x store (same seed) made on it once for the competitors and once for
 * each engine; then, each after a `sync` and warm: cp -a, cp -al, `upgrade -m` with each engine. Competitors come
 * first, on trees that nothing was removed from. Figures compare within one run of this program only.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { generateInstallation, type Installation } from '../test/support/generate/index.js';
import { loopFileSystem, plainDirectory, type Workspace } from './filesystem.js';
import { type Measured, measure, median } from './measure.js';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const UPGRADE = path.join(PROJECT, 'dist/cli/upgrade.js');

const HELP = `usage: npm run bench -- [options]

  --messages <n>    (100000)
  --size <bytes>    of each message (8192)
  --folders <n>     in all (50)
  --threads <n>     -t of upgrade (2)
  --rounds <n>      medians of so many rounds (3)
  --engines <list>  native,portable
  --fs ext4|xfs|btrfs  a fresh loop file system each round (root; ext4)
  --image-dir <dir> where the loop file system's image lies (/var/tmp)
  --dir <dir>       measure in this directory instead
  --json <file>     write the figures there as well
`;

interface Settings {
  readonly messages: number;
  readonly size: number;
  readonly folders: number;
  readonly threads: number;
  readonly rounds: number;
  readonly engines: readonly string[];
  readonly fileSystem: 'ext4' | 'xfs' | 'btrfs';
  readonly imageDirectory: string;
  readonly directory: string | null;
}

interface Sample {
  readonly name: string;
  readonly command: string;
  readonly seconds: number;
  readonly secondsSynced: number;
  readonly peakAnonymous: number;
  readonly cpuSeconds: number;
}

async function main(): Promise<void> {
  const text = (value: string) => ({ type: 'string', default: value }) as const;
  const { values } = parseArgs({
    options: {
      messages: text('100000'),
      size: text('8192'),
      folders: text('50'),
      threads: text('2'),
      rounds: text('3'),
      engines: text('native,portable'),
      fs: text('ext4'),
      'image-dir': text('/var/tmp'),
      dir: { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const settings: Settings = {
    messages: Number(values.messages),
    size: Number(values.size),
    folders: Number(values.folders),
    threads: Number(values.threads),
    rounds: Number(values.rounds),
    engines: values.engines.split(',').filter((engine) => engine !== ''),
    fileSystem: values.fs === 'xfs' || values.fs === 'btrfs' ? values.fs : 'ext4',
    imageDirectory: values['image-dir'],
    directory: values.dir ?? null,
  };
  if (settings.engines.length > 0 && !fs.existsSync(UPGRADE))
    throw new Error('dist/cli/upgrade.js is missing: npm run build');
  const samples: Sample[] = [];
  let where = '';
  for (let round = 1; round <= settings.rounds; round++) {
    const space = workspace(settings);
    where = space.description;
    try {
      process.stderr.write(`round ${round} of ${settings.rounds} on ${where}\n`);
      samples.push(...(await oneRound(space, settings)));
    } finally {
      space.remove();
    }
  }
  const report = summarize(samples, settings, where);
  process.stdout.write(table(report));
  if (values.json !== undefined) fs.writeFileSync(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
}

function workspace(settings: Settings): Workspace {
  if (settings.directory !== null) return plainDirectory(settings.directory);
  if (process.geteuid?.() !== 0) throw new Error('A loop file system needs root; name a directory with --dir.');
  // Three sources, two copies, and as much again for metadata and head room.
  const bytes = settings.messages * (settings.size + 4096) * 6;
  return loopFileSystem(settings.imageDirectory, Math.max(2, Math.ceil(bytes / 2 ** 30)), settings.fileSystem);
}

async function oneRound(space: Workspace, settings: Settings): Promise<Sample[]> {
  const source = makeStore(space, 'source', settings);
  const stores = settings.engines.map((engine) => ({ engine, store: makeStore(space, engine, settings) }));
  const tree = source.storePaths[0]!;
  const samples: Sample[] = [];
  const add = (name: string, command: readonly string[], measured: Measured) => {
    if (measured.status !== 0) {
      throw new Error(`${command.join(' ')}: exit code ${measured.status}\n${measured.stdout}${measured.stderr}`);
    }
    const { seconds, secondsSynced, peakAnonymous, cpuSeconds } = measured;
    samples.push({ name, command: shortened(command), seconds, secondsSynced, peakAnonymous, cpuSeconds });
    process.stderr.write(`  ${name.padEnd(28)} ${seconds.toFixed(2)} s, ${cpuSeconds.toFixed(2)} s of processors\n`);
  };
  for (const [name, option] of [
    ['cp -a', '-a'],
    ['cp -al', '-al'],
  ] as const) {
    const command = ['cp', option, tree, path.join(space.path, `copy${option}`)];
    add(name, command, await measure(command, space.path));
  }
  for (const { engine, store } of stores) {
    const instance = path.join(space.path, `server4-${engine}`, 'msg-tango');
    const run = (args: readonly string[]) => [process.execPath, UPGRADE, ...args, '--instance', instance, '--json'];
    const folders = run(['-s', '--from', store.instance, '--directory', store.ldif]);
    add(`upgrade -s (${engine})`, folders, await measure(folders, space.path));
    const choice = engine === 'native' ? '--native' : '--no-native';
    const messages = run(['-m', choice, '-t', String(settings.threads)]);
    const measured = await measure(messages, space.path);
    add(`upgrade -m (${engine})`, messages, measured);
    checkDone(measured.stdout, settings.messages);
  }
  return samples;
}

function makeStore(space: Workspace, name: string, settings: Settings): Installation {
  const foldersEach = 5;
  return generateInstallation({
    root: path.join(space.path, name),
    seed: 'bench',
    users: Math.max(1, Math.round(settings.folders / foldersEach)),
    folders: Math.min(settings.folders, foldersEach),
    messages: settings.messages,
    spread: 'even',
    size: settings.size,
    sizes: 'fixed',
    storePaths: 1,
    singleCopy: 0,
    bareLf: 0,
    damage: 0,
    hostileNames: 0,
    manifest: false,
  });
}

/** A fast run that moved nothing is no result. */
function checkDone(stdout: string, messages: number): void {
  const last = stdout.trim().split('\n').at(-1) ?? '';
  const result = JSON.parse(stdout.trim().startsWith('{') ? stdout : last) as { messages: { done: number } };
  if (result.messages.done !== messages) {
    throw new Error(`upgrade -m moved ${result.messages.done} messages of ${messages}`);
  }
}

interface Report {
  readonly machine: string;
  readonly data: string;
  readonly rounds: number;
  /** Load averages at the end: above the number of processors, the machine was busy with other work. */
  readonly load: string;
  readonly settings: Settings;
  readonly results: readonly (Sample & { readonly factor: number; readonly messagesPerSecond: number })[];
}

function summarize(samples: readonly Sample[], settings: Settings, where: string): Report {
  const cpu = os.cpus();
  const names = [...new Set(samples.map(({ name }) => name))];
  const rows = names.map((name) => {
    const own = samples.filter((sample) => sample.name === name);
    return {
      name,
      command: own[0]!.command,
      seconds: median(own.map(({ seconds }) => seconds)),
      secondsSynced: median(own.map(({ secondsSynced }) => secondsSynced)),
      peakAnonymous: Math.max(...own.map(({ peakAnonymous }) => peakAnonymous)),
      cpuSeconds: median(own.map(({ cpuSeconds }) => cpuSeconds)),
    };
  });
  const copy = rows.find(({ name }) => name === 'cp -a')?.seconds ?? Number.NaN;
  return {
    machine: `${cpu.length} × ${cpu[0]?.model.trim()}, ${Math.round(os.totalmem() / 2 ** 30)} GiB, Linux ${os.release()}, Node ${process.versions.node}, ${where}`,
    data: `${settings.messages} messages of ${settings.size} bytes in ${settings.folders} folders, warm`,
    rounds: settings.rounds,
    load: os
      .loadavg()
      .map((value) => value.toFixed(1))
      .join(' '),
    settings,
    results: rows.map((row) => ({
      ...row,
      factor: copy / row.seconds,
      messagesPerSecond: settings.messages / row.seconds,
    })),
  };
}

function table(report: Report): string {
  const lines = [
    report.machine,
    `${report.data}; median of ${report.rounds}; commit ${commit()}; load ${report.load}`,
    '',
    '| what | seconds | and synced | processor seconds | times as fast as cp -a | peak anonymous memory |',
    '| --- | --- | --- | --- | --- | --- |',
    ...report.results.map(({ name, seconds, secondsSynced, cpuSeconds, factor, peakAnonymous }) => {
      const memory = name.startsWith('upgrade') ? `${(peakAnonymous / 1e6).toFixed(0)} MB` : '';
      return `| ${name} | ${seconds.toFixed(2)} | ${secondsSynced.toFixed(2)} | ${cpuSeconds.toFixed(2)} | ${factor.toFixed(1)} | ${memory} |`;
    }),
    '',
    ...report.results.map(({ name, command }) => `${name}: ${command}`),
  ];
  return `${lines.join('\n')}\n`;
}

function commit(): string {
  const run = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: PROJECT, encoding: 'utf8' });
  return run.status === 0 ? run.stdout.trim() : 'unknown';
}

/** A command as a reader would type it. */
function shortened(command: readonly string[]): string {
  return command.join(' ').replace(`${process.execPath} ${UPGRADE}`, 'upgrade');
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
