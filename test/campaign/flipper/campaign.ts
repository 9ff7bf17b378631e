/**
 * The flipper: somebody with the rights of a mailbox owner, and then of the server account, exchanges every name that
 * they could write for a link, a foreign file, a fifo, a device … while the commands run on it. Nothing outside the roots
 * may be opened, changed or migrated, and when the names are back, everything is there once.
 *
 *     npm run campaign -- flipper [--long] [-- --round <n>] [-- --engine native|portable] [-- --seconds <n>] [-- --name <regexp>]
 *     … -- --show                                             how each command ended
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { engines } from '../support/engines.js';
import { command, type Site, survivingContents } from '../support/kept-site.js';
import type { Campaign, CampaignOptions, CampaignOutcome } from '../types.js';
import { canaryChanges, canaryState, judgeTrace, leaks } from './audit.js';
import { type Command, type End, type Engine, inPeace, mayEndWith, type Running, underAttack } from './commands.js';
import { newDecoys, type Pair, planOf, removeDecoys } from './decoys.js';
import { buildFlipper, type Ground, groundMissing, MARKER, makeGround } from './ground.js';
import { ROUNDS, type Round } from './rounds.js';
import { callsOf, expect, makeStates, putBack, type State } from './states.js';

/** Where the first command of a late round stands still: in this share of its calls. */
const LATEST = 0.6;

interface Arena {
  readonly ground: Ground;
  readonly site: Site;
  readonly flipper: string;
  /** Exchange only names that match. */
  readonly only: RegExp | undefined;
  /** Told how each command ended (`--show`). */
  readonly show: ((line: string) => void) | undefined;
  /** Lines `mailbox sha256` of a run in peace. */
  readonly golden: readonly string[];
  readonly problems: string[];
  /** Effective calls of the first command of a round that begins late, by the state it begins with. */
  readonly calls: Map<State, number>;
  exchanges: number;
  commands: number;
  traced: number;
}

export const campaign: Campaign = {
  about: 'names exchanged for links, foreign files, devices at every level while the commands run',
  run: flip,
};

async function flip(options: CampaignOptions): Promise<CampaignOutcome> {
  const missing = groundMissing();
  if (missing !== undefined) return { cases: 0, problems: [], notes: [`not tried: ${missing}`] };
  const { values } = parseArgs({
    args: [...options.args],
    options: {
      round: { type: 'string' },
      engine: { type: 'string' },
      seconds: { type: 'string' },
      name: { type: 'string' },
      show: { type: 'boolean' },
    },
  });
  const seconds = Number(values.seconds ?? (options.long ? 60 : 0));
  const rounds = values.round === undefined ? ROUNDS : ROUNDS.slice(Number(values.round), Number(values.round) + 1);
  const chosen = engines().filter((engine) => values.engine === undefined || values.engine === engine);
  const turn = Number.parseInt(createHash('sha256').update(options.seed).digest('hex').slice(0, 4), 16);
  const ground = makeGround();
  try {
    const only = values.name === undefined ? undefined : new RegExp(values.name);
    const arena = prepare(ground, only, values.show ? options.log : undefined);
    let cases = 0;
    for (const [which, engine] of chosen.entries()) {
      const until = performance.now() + seconds * 1000;
      // The sample is every third round, as the seed has it, and the engines share them; the whole campaign goes round
      // until its time is over.
      const some = rounds.length === 1 ? chosen.length : 3 * chosen.length;
      const first = (n: number) => n < rounds.length && (seconds > 0 || (n + which + turn) % some === 0);
      for (let n = 0; n < rounds.length || performance.now() < until; n++) {
        if (n < rounds.length && !first(n)) continue;
        const round = rounds[n % rounds.length] as Round;
        // Every other time watched by strace, of which the attacked command becomes slow.
        const traced = seconds > 0 ? n % 2 === 1 : n < 2 || rounds.length === 1;
        const before = arena.problems.length;
        await fight(arena, engine, round, traced, n + turn);
        cases++;
        const found = arena.problems.length - before;
        options.log(`${engine}: ${round.name}${traced ? ', traced' : ''}: ${found} problems`);
      }
    }
    const { exchanges, commands, traced, problems } = arena;
    const notes = [`${commands} commands (${traced} of them under strace) against ${exchanges} exchanges`];
    return { cases, problems, notes };
  } finally {
    ground.remove();
  }
}

function prepare(ground: Ground, only: RegExp | undefined, show: Arena['show']): Arena {
  const engine = engines()[0] ?? 'portable';
  let golden: string[] = [];
  const site = makeStates(ground, engine, (done) => {
    golden = stored(done);
  });
  return {
    ground,
    site,
    only,
    show,
    golden,
    flipper: buildFlipper(ground),
    problems: [],
    calls: new Map(),
    exchanges: 0,
    commands: 0,
    traced: 0,
  };
}

async function fight(arena: Arena, engine: Engine, round: Round, traced: boolean, n: number): Promise<void> {
  const { ground, site, problems } = arena;
  const where = `${engine}, ${round.name}`;
  putBack(ground, site, round.state);
  fs.rmSync(ground.canary, { recursive: true });
  for (const name of ['alike', 'secret']) fs.mkdirSync(path.join(ground.canary, name), { recursive: true });
  const trace = traced ? path.join(ground.mount, 'trace') : undefined;
  // The first command of a round that begins late stands still before anybody touches a name.
  const late = round.late ? await startLate(arena, engine, round, trace, n) : undefined;
  const account = fs.statSync(site.stores[0] ?? '');
  const decoys = newDecoys(ground, account);
  round.plan(site, decoys);
  const before = canaryState(ground);

  const flipper = await startFlipper(
    arena,
    arena.only === undefined ? some(decoys.pairs, n) : matching(decoys.pairs, arena.only),
  );
  late?.goOn();
  for (const [i, args] of round.commands.entries()) {
    arena.commands++;
    const running = i === 0 && late !== undefined ? late : underAttack(site, args, engine, trace);
    judge(arena, `${where}: ${args.join(' ')}`, args, await running.end, trace);
  }
  arena.exchanges += await flipper.stop();

  for (const change of canaryChanges(before)) problems.push(`${where}: outside the roots, ${change}`);
  for (const leak of leaks(site.partitions)) problems.push(`${where}: ${leak} holds what lies outside`);
  peace(arena, engine, round, where);
}

/** How a command under attack ended, what it said, and what it called. */
function judge(arena: Arena, what: string, args: Command, end: End, trace: string | undefined): void {
  const { ground, site, problems } = arena;
  const { code, signal, output } = end;
  if (arena.show) arena.show(`${what} ended with ${code ?? signal}: ${tail(output)}`);
  if (!mayEndWith(args, code)) problems.push(`${what} ended with ${code ?? signal}: ${tail(output)}`);
  if (/\b(TypeError|ReferenceError|RangeError|Assertion|internal error)\b/i.test(output)) {
    problems.push(`${what} says ${tail(output)}`);
  }
  if (output.includes(MARKER)) problems.push(`${what} tells what lies outside: ${tail(output)}`);
  if (trace === undefined) return;
  arena.traced++;
  const calls = judgeTrace(fs.readFileSync(trace, 'latin1').split('\n'), site.root, ground.canary);
  for (const call of calls) problems.push(`${what} called ${call}`);
  fs.rmSync(trace);
}

/** Starts the first command of a round; it stands still at one of its effective calls, in the first part of its way. */
async function startLate(
  arena: Arena,
  engine: Engine,
  { state, commands }: Round,
  trace: string | undefined,
  n: number,
): Promise<Running> {
  const { ground, site, calls } = arena;
  const args = commands[0] ?? [];
  const all = calls.get(state) ?? callsOf(ground, site, args, engine);
  if (!calls.has(state)) putBack(ground, site, state);
  calls.set(state, all);
  const digest = createHash('sha256').update(`late ${n}`).digest();
  const at = 1 + (digest.readUInt16LE(0) % Math.max(1, Math.floor(all * LATEST)));
  const running = underAttack(site, args, engine, trace, { MAILHAUL_FAULT: `stop:${at}` });
  if (await running.stopped()) return running;
  const { output } = await running.end;
  throw new Error(`${args.join(' ')} was not stopped at call ${at} of ${all}: ${tail(output)}`);
}

/** Everything is put back: the commands must come to the end of a run that was never attacked. */
function peace(arena: Arena, engine: Engine, round: Round, where: string): void {
  const { site, problems, golden } = arena;
  for (const at of [path.join(site.root, 'site'), arena.ground.far]) removeDecoys(Buffer.from(at));
  const surviving = survivingContents(site);
  const lost = [...site.contents].filter((content) => !surviving.has(content));
  if (lost.length > 0) problems.push(`${where}: ${lost.length} messages have no name any more`);
  for (const args of round.after) {
    const { status, stdout, stderr } = inPeace(site, args, engine);
    if (status !== 0)
      problems.push(`${where}: afterwards ${args.join(' ')} ended with ${status}: ${tail(stdout + stderr)}`);
  }
  if (!round.sameEnd) return;
  let now: string[];
  try {
    now = stored(site);
  } catch (error) {
    problems.push(`${where}: ${tail(String(error))}`);
    return;
  }
  const missing = golden.filter((line) => !now.includes(line));
  const extra = now.filter((line) => !golden.includes(line));
  if (now.length !== golden.length || missing.length > 0 || extra.length > 0) {
    problems.push(
      `${where}: 4.x holds ${now.length} messages instead of ${golden.length}; missing ${missing.slice(0, 3)}, too much ${extra.slice(0, 3)}`,
    );
  }
}

/**
 * Some of the names: a directory in which anything changes is never quiet enough to be published, so others must be
 * left alone; and the fewer names, the more often each is exchanged.
 */
function some(pairs: readonly Pair[], n: number): Pair[] {
  const share = [2, 5, 1, 9][n % 4] as number;
  const chosen = pairs.filter(({ parent, name }) => {
    const digest = createHash('sha256').update(`${n}`).update(parent).update(name).digest();
    return (digest[0] as number) % share === 0;
  });
  return chosen.length > 0 ? chosen : pairs.slice(0, 1);
}

const matching = (pairs: readonly Pair[], only: RegExp): Pair[] =>
  pairs.filter(({ name }) => only.test(name.toString('latin1')));

interface Flipper {
  /** Puts back; the number of exchanges. */
  stop(): Promise<number>;
}

async function startFlipper(arena: Arena, pairs: readonly Pair[]): Promise<Flipper> {
  const plan = path.join(arena.ground.mount, 'plan');
  fs.writeFileSync(plan, planOf(pairs));
  const child = spawn(arena.flipper, [plan], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.value !== 'ready') throw new Error('the flipper did not start');
  return {
    async stop() {
      child.kill('SIGTERM');
      const counts = await lines.next();
      await ended(child);
      return Number(String(counts.value).split(' ')[0]);
    },
  };
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('close', () => resolve());
  });
}

/** What 4.x holds: a line a message, with its mailbox and its content. */
function stored(site: Site): string[] {
  const dump = command('mboxutil', ['--dump', '--json', '--instance', site.instance]);
  expect(dump, 'mboxutil --dump');
  return dump.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { mailbox: string; sha256: string })
    .map(({ mailbox, sha256 }) => `${mailbox} ${sha256}`)
    .sort();
}

const tail = (text: string): string => text.trim().slice(-500);
