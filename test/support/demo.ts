/**
 * `npm run demo`: a 3.x installation on several disks becomes a verified 4.1 store, before your eyes.
 *
 * It calls the commands as an administrator would, each line after `$` is what really ran. Afterwards it compares
 * the result with the generator's own manifest, which none of the migration's code has seen.
 */
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Comparison, compareWithManifest, linesOf } from './generate/compare.js';
import { type DamageKind, generateInstallation, type Installation } from './generate/index.js';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
const COMMANDS = ['upgrade', 'configutil', 'mboxutil'];
/** Kinds of damage that lose nothing: a migration warns and goes on. The demo adds one real failure by hand. */
const DAMAGE: DamageKind[] = [
  'mailbox-missing',
  'mailbox-truncated',
  'mailbox-garbage',
  'header-lost',
  'bad-date',
  'bad-flags',
  'line-without-file',
  'file-without-line',
  'size-differs',
  'uids-unsorted',
  'uid-repeated',
  'file-listed-twice',
  'empty-file',
];

/** A command that takes longer hangs: the demonstration fails. */
const LIMIT_MS = 10 * 60_000;

interface Result {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  readonly seconds: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      keep: { type: 'boolean' },
      users: { type: 'string', default: '300' },
      messages: { type: 'string', default: '5000' },
      seed: { type: 'string', default: 'demo' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    print('usage: npm run demo -- [--users n] [--messages n] [--seed text] [--keep]');
    print('  --keep leaves the directory with both stores in place');
    return;
  }
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-demo-'));
  // The server account has to get through.
  fs.chmodSync(root, 0o755);
  const cleanUp = () => (values.keep ? print(`\nKept: ${root}`) : fs.rmSync(root, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      cleanUp();
      process.exit(4);
    });
  }
  try {
    await demonstrate(root, Number(values.users), Number(values.messages), values.seed);
  } finally {
    cleanUp();
  }
}

async function demonstrate(root: string, users: number, messages: number, seed: string): Promise<void> {
  const started = Date.now();
  const bin = commandDirectory(root);
  const instance = path.join(root, 'server4', 'msg-tango');
  const environment = { ...process.env, PATH: `${bin}:${process.env.PATH}`, MSG_INSTANCE: instance };
  const shell = shellIn(environment);

  title(1, 'A Netscape Messaging Server 3.x installation on four disks');
  const made = generateInstallation({
    root: path.join(root, 'old'),
    seed,
    users,
    folders: 4,
    messages,
    storePaths: 4,
    singleCopy: 0.15,
    bareLf: 0.05,
    damage: 0.06,
    damageKinds: DAMAGE,
    hostileNames: 0.05,
    emptyUsers: 2,
  });
  describe(made);
  const before = diskUsage(made.storePaths);
  print(`  on disk ${megabytes(before)} MB, every hard link counted once`);
  const broken = breakOneMessage(made);
  explain(`For later: ${path.basename(broken)} in an INBOX may be written by everybody (mode 666).`);

  title(2, 'upgrade -s: find the users, map their folders, make the partitions');
  const folders = shell(`upgrade -s --from ${made.instance} --directory ${made.ldif}`);
  expectStatus(folders, [0]);
  shell('configutil -p store.partition');
  const lists = made.storePaths.map((storePath) => path.basename(storePath));
  shell(`head -6 ${made.storePaths[0]}/__up.${lists[1]}.txt`);
  explain('Every folder has its 4.x name now and waits in state TRANSITION:');
  shell('mboxutil -l', 8);

  title(3, 'upgrade -m: move the messages, and a power cut in the middle');
  // Every message and every folder takes a few calls with an effect: this is about half of the way.
  const call = made.messages + 2 * made.folders;
  explain(`The first run is killed (SIGKILL) at its system call no. ${call} that changes the disk.`);
  const killed = shell(`MAILHAUL_FAULT=kill:${call} upgrade -m -t 2`, 12);
  if (killed.signal !== 'SIGKILL' && killed.status !== 137) throw new Error('the run was not killed');
  shell('upgrade --status', 14);
  explain('Running it again is all the recovery there is:');
  const moved = await follow('upgrade -m -t 2', environment);
  expectStatus(moved, [1]);

  title(4, 'One message failed: repair it, run again');
  explain('Exit code 1: all is done but what is listed above. The message stays in 3.x until it is repaired.');
  shell(`chmod 600 '${broken}'`);
  const repaired = shell('upgrade -m --failed', 8);
  expectStatus(repaired, [0]);

  title(5, 'upgrade --verify: compare both stores, message by message, by content');
  const verified = shell('upgrade --verify', 14);
  expectStatus(verified, [0]);
  explain("And once more without mailhaul's own code, against the list that the generator wrote:");
  const comparison = await compare(made, environment);
  for (const problem of comparison.problems.slice(0, 20)) print(`  ! ${problem}`);
  if (comparison.problems.length > 0) throw new Error(`${comparison.problems.length} differences from the manifest`);
  print(
    `  ${comparison.folders} folders and ${comparison.messages} messages: uid, flags, keywords, date, content equal`,
  );
  shell('mboxutil -l', 8);

  title(6, 'What happened');
  const disk = { before, after: diskUsage([...made.storePaths, instance]) };
  summary(made, comparison, disk, { folders, moved, verified }, (Date.now() - started) / 1000);
}

function describe(made: Installation): void {
  print(`  ${made.users} users, ${made.folders} folders, ${made.messages} messages, ${megabytes(made.bytes)} MB`);
  print(`  ${made.links} single-copy hard links, ${made.bareLf} messages with bare LF`);
  const kinds = Object.entries(made.damage).map(([kind, count]) => `${kind} ${count}`);
  print(`  damaged folders: ${kinds.join(', ')}`);
  print(`  configuration ${made.instance}/config/NscpMail.conf, directory ${made.ldif}`);
  for (const [index, storePath] of made.storePaths.entries()) {
    const mailboxes = fs.readdirSync(storePath).length;
    print(`  ${storePath}: ${mailboxes} mailboxes${index === 0 ? ' (the default path)' : ''}`);
  }
}

/** Makes one message of the first sound INBOX fail: others may write to its file. */
function breakOneMessage(made: Installation): string {
  for (const user of fs.readdirSync(made.storePaths[0]!).sort()) {
    const inbox = path.join(made.storePaths[0]!, user, 'INBOX');
    const index = path.join(inbox, '.mailbox');
    if (!fs.existsSync(index)) continue;
    const files = fs.readdirSync(inbox, { withFileTypes: true }).filter((entry) => entry.isFile());
    const plain = files.find(
      (entry) => /^[0-9a-f.]+$/.test(entry.name) && fs.statSync(path.join(inbox, entry.name)).nlink === 1,
    );
    if (plain === undefined || files.length < 4) continue;
    const file = path.join(inbox, plain.name);
    fs.chmodSync(file, 0o666);
    return file;
  }
  throw new Error('no INBOX with messages was made');
}

/** A directory with the package's commands under their own names, as `npm install -g` would make. */
function commandDirectory(root: string): string {
  const bin = path.join(root, 'bin');
  fs.mkdirSync(bin);
  const { bin: entries } = JSON.parse(fs.readFileSync(path.join(PROJECT, 'package.json'), 'utf8')) as {
    bin: Record<string, string>;
  };
  for (const name of COMMANDS) {
    const script = path.resolve(PROJECT, entries[name]!);
    fs.writeFileSync(path.join(bin, name), `#!/bin/sh\nexec '${process.execPath}' '${script}' "$@"\n`, { mode: 0o755 });
  }
  return bin;
}

/** Prints and runs a command line; shows at most `limit` lines of what it says. */
function shellIn(env: NodeJS.ProcessEnv): (line: string, limit?: number) => Result {
  return (line, limit = 24) => {
    print(`\n  $ ${line}`);
    const started = Date.now();
    const run = spawnSync('sh', ['-c', `${line} 2>&1`], {
      env,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      timeout: LIMIT_MS,
    });
    const lines = run.stdout === '' ? [] : run.stdout.replace(/\n$/, '').split('\n');
    for (const text of lines.slice(0, limit)) print(`  ${text}`);
    if (lines.length > limit) print(`  … ${lines.length - limit} more lines`);
    return { status: run.status, signal: run.signal, output: run.stdout, seconds: (Date.now() - started) / 1000 };
  };
}

/** Like shell, but what the command says goes to the terminal at once: it draws its progress there. */
function follow(line: string, env: NodeJS.ProcessEnv): Promise<Result> {
  print(`\n  $ ${line}`);
  const started = Date.now();
  const [command, ...args] = line.split(' ');
  return new Promise((resolve, reject) => {
    const child = spawn(command!, args, { env, stdio: ['ignore', 'inherit', 'inherit'], timeout: LIMIT_MS });
    child.on('error', reject);
    child.on('exit', (status, signal) =>
      resolve({ status, signal, output: '', seconds: (Date.now() - started) / 1000 }),
    );
  });
}

function expectStatus(result: Result, expected: readonly number[]): void {
  if (result.status !== null && expected.includes(result.status)) {
    print(`  (exit code ${result.status}, ${result.seconds.toFixed(1)} s)`);
    return;
  }
  throw new Error(`exit code ${result.status ?? result.signal}, expected ${expected.join(' or ')}\n${result.output}`);
}

async function compare(made: Installation, env: NodeJS.ProcessEnv): Promise<Comparison> {
  const start = (args: string[]) => {
    const child = spawn('mboxutil', args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    return linesOf(child.stdout);
  };
  return compareWithManifest(made.manifest!, start(['-l', '--json']), start(['--dump', '--json']));
}

function summary(
  made: Installation,
  comparison: Comparison,
  disk: { before: number; after: number },
  runs: { folders: Result; moved: Result; verified: Result },
  seconds: number,
): void {
  const hasAddon =
    process.env.MAILHAUL_ADDON !== 'none' && fs.existsSync(path.join(PROJECT, 'build/Release/mailhaul.node'));
  const engine = hasAddon ? 'native' : 'portable';
  print(`  ${made.users} users on ${made.storePaths.length} disks moved from 3.x to 4.1 with the ${engine} engine`);
  print(`  ${comparison.messages} messages in ${comparison.folders} folders, none lost, doubled or renumbered`);
  print(
    `  upgrade -s ${runs.folders.seconds.toFixed(1)} s, -m ${runs.moved.seconds.toFixed(1)} s (after the cut), --verify ${runs.verified.seconds.toFixed(1)} s`,
  );
  print(`  disk: ${megabytes(disk.before)} MB before; ${megabytes(disk.after)} MB with both stores and all indexes`);
  print('  The 3.x files are still there, as second names of the same data; `upgrade -m -r` removes them.');
  print(`  ${seconds.toFixed(0)} s in all`);
}

/** Bytes on disk below the paths, every inode once. */
function diskUsage(paths: readonly string[]): number {
  const run = spawnSync('du', ['-sck', ...paths], { encoding: 'utf8' });
  return Number(run.stdout.trim().split('\n').at(-1)?.split('\t')[0]) * 1024;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function title(number: number, text: string): void {
  print(`\n${'─'.repeat(100)}\n${number}. ${text}\n`);
}

function explain(text: string): void {
  print(`\n  ${text}`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`\nThe demonstration failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
