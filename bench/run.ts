/**
 * `npm run bench`: how fast is a migration here, beside programs that only copy, link or read the same tree, and beside
 * the floor of the machine?
 *
 * One round: a fresh file system; the same 3.x store (same seed) made on it once for the competitors and once for
 * each migration; then, each after a `sync`, warm or cold: competitors, `upgrade -m` with each engine and number of
 * threads, and last the floor, which writes as many index bytes as they did. Competitors come first, on trees that
 * nothing was removed from. Figures compare within one round only (report.ts).
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { isHashDirectory } from '../src/store/layout.js';
import { generateInstallation, type Installation } from '../test/support/generate/index.js';
import { type Competitor, competitors, floor } from './competitors.js';
import { loopFileSystem, plainDirectory, type Workspace } from './filesystem.js';
import { type Measured, measure } from './measure.js';
import { type Sample, summarize, table } from './report.js';
import { HELP, type Settings, settingsOf } from './settings.js';

const UPGRADE = fileURLToPath(new URL('../dist/cli/upgrade.js', import.meta.url));

async function main(): Promise<void> {
  const settings = settingsOf(process.argv.slice(2));
  if (settings === undefined) {
    process.stdout.write(HELP);
    return;
  }
  if (settings.engines.length > 0 && !fs.existsSync(UPGRADE))
    throw new Error('dist/cli/upgrade.js is missing: npm run build');
  const installed = competitors((name) => process.stderr.write(`${name} is not installed and left out\n`));
  const others = installed.filter(({ name }) => isWanted(settings, name));
  const rounds: Sample[][] = [];
  let where = '';
  for (let number = 1; number <= settings.rounds; number++) {
    const space = workspace(settings, others.length);
    where = space.description;
    try {
      process.stderr.write(`round ${number} of ${settings.rounds} on ${where}\n`);
      const round = new Round(space, settings);
      await round.run(others);
      rounds.push(round.samples);
    } finally {
      space.remove();
    }
  }
  const report = summarize(rounds, settings, where);
  process.stdout.write(table(report));
  if (settings.json !== null) fs.writeFileSync(settings.json, `${JSON.stringify(report, undefined, 2)}\n`);
}

function isWanted({ competitors: wanted }: Settings, name: string): boolean {
  return wanted === undefined || wanted.includes(name);
}

function workspace(settings: Settings, copies: number): Workspace {
  if (settings.directory !== null) return plainDirectory(settings.directory);
  if (process.geteuid?.() !== 0) throw new Error('A loop file system needs root; name a directory with --dir.');
  // A store for each migration, one for the competitors with its copies, and as much again for metadata and head room.
  const stores = 1 + copies + settings.engines.length * settings.threads.length;
  const bytes = settings.messages * (settings.size + 4096) * (stores + 1);
  return loopFileSystem(settings.imageDirectory, Math.max(2, Math.ceil(bytes / 2 ** 30)), settings.fileSystem);
}

/** One round on a fresh file system. */
class Round {
  readonly samples: Sample[] = [];
  /** Bytes that the migrations wrote into indexes, for each message. */
  private indexBytes = 0;

  constructor(
    private readonly space: Workspace,
    private readonly settings: Settings,
  ) {}

  async run(others: readonly Competitor[]): Promise<void> {
    const { settings, space } = this;
    const tree = makeStore(space, 'source', settings).storePaths[0] ?? '';
    const migrations = settings.engines.flatMap((engine) =>
      settings.threads.map((threads) => {
        const name = `${engine}-t${threads}`;
        return { engine, threads, name, store: makeStore(space, name, settings) };
      }),
    );
    for (const [i, other] of others.entries()) await this.compete(other, tree, `copy${i}`);
    for (const { engine, threads, name, store } of migrations) await this.migrate(engine, threads, name, store);
    if (!isWanted(settings, 'floor')) return;
    for (const threads of settings.threads) {
      const { stdout } = await this.compete(floor(space.path, threads, this.indexBytes), tree, `floor-t${threads}`);
      checkMoved('floor', (JSON.parse(stdout) as { messages: number }).messages, settings.messages);
    }
  }

  private async compete({ name, command }: Competitor, tree: string, target: string): Promise<Measured> {
    return await this.measured(name, command(tree, path.join(this.space.path, target)));
  }

  private async migrate(engine: string, threads: number, name: string, store: Installation): Promise<void> {
    const instance = path.join(this.space.path, `server4-${name}`, 'msg-tango');
    const run = (args: readonly string[]) => [process.execPath, UPGRADE, ...args, '--instance', instance, '--json'];
    const row = `${engine}, -t ${threads}`;
    await this.measured(`upgrade -s (${row})`, run(['-s', '--from', store.instance, '--directory', store.ldif]));
    const choice = engine === 'native' ? '--native' : '--no-native';
    const { stdout } = await this.measured(`upgrade -m (${row})`, run(['-m', choice, '-t', String(threads)]));
    checkDone(stdout, this.settings.messages);
    this.indexBytes = indexBytesBelow(this.space.path, instance, store) / this.settings.messages;
  }

  private async measured(name: string, command: readonly string[]): Promise<Measured> {
    const result = await measure(command, this.space.path, { cold: this.settings.cold });
    if (result.status !== 0) {
      throw new Error(`${command.join(' ')}: exit code ${result.status}\n${result.stdout}${result.stderr}`);
    }
    const { seconds, secondsSynced, peakAnonymous, cpuSeconds } = result;
    this.samples.push({ name, command: shortened(command), seconds, secondsSynced, peakAnonymous, cpuSeconds });
    process.stderr.write(`  ${name.padEnd(32)} ${seconds.toFixed(2)} s, ${cpuSeconds.toFixed(2)} s of processors\n`);
    return result;
  }
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
  checkMoved('upgrade -m', result.messages.done, messages);
}

function checkMoved(name: string, moved: number, messages: number): void {
  if (moved !== messages) throw new Error(`${name} moved ${moved} messages of ${messages}`);
}

/** Bytes of all store.idx of a migrated store, in the instance's partition and in those below its store paths. */
function indexBytesBelow(space: string, instance: string, { storePaths }: Installation): number {
  let bytes = 0;
  const visit = (directory: string): void => {
    for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
      const at = path.join(directory, entry.name);
      // Hash directories hold messages alone.
      if (entry.isDirectory() && !isHashDirectory(entry.name)) visit(at);
      else if (entry.name === 'store.idx') bytes += fs.statSync(at).size;
    }
  };
  const partitions = storePaths.flatMap((storePath) =>
    fs
      .readdirSync(storePath)
      .filter((name) => name.startsWith('.0004x.'))
      .map((name) => path.join(storePath, name)),
  );
  for (const partition of [path.join(instance, 'store/partition/primary'), ...partitions]) {
    if (partition.startsWith(space) && fs.existsSync(partition)) visit(partition);
  }
  return bytes;
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
