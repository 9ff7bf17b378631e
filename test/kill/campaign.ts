/**
 * The kill campaign: the process is killed at the n-th effective call (src/fs/seam.ts, native/src/sys) of a
 * run, the same command is run again, and the result must be that of a run that was never interrupted.
 *
 *     npx tsx test/kill/campaign.ts                    every call, both engines, with and without -r, retries, and -s
 *     npx tsx test/kill/campaign.ts --every 7          every 7th call
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadAddon } from '../../src/fs/addon.js';
import {
  fingerprint,
  keep,
  makeSite,
  originals,
  restore,
  type Site,
  survivingContents,
  upgradeFolders,
  upgradeMessages,
} from './site.js';

export interface Campaign {
  readonly name: string;
  /** Effective calls of an uninterrupted run. */
  readonly calls: number;
  readonly killed: number;
  /** One sentence each. */
  readonly problems: readonly string[];
}

export interface CampaignOptions {
  /** Kill at every n-th call only; the first is always among them. */
  readonly every: number;
  readonly engines: readonly ('native' | 'portable')[];
  readonly onProgress?: (line: string) => void;
}

/** Engines that can run here. */
export function engines(): ('native' | 'portable')[] {
  return loadAddon() === undefined ? ['portable'] : ['native', 'portable'];
}

export function runCampaigns(options: CampaignOptions): Campaign[] {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-kill-'));
  try {
    const site = makeSite(root);
    keep(site, 'fresh');
    const campaigns = [folders(site, options)];
    restore(site, 'fresh');
    expectExit(upgradeFolders(site), 0, '-s');
    keep(site, 'folders');
    for (const engine of options.engines) {
      for (const remove of [false, true]) campaigns.push(messages(site, engine, remove, options));
    }
    for (const engine of options.engines) campaigns.push(retries(site, engine, options));
    return campaigns;
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
}

function engineFlag(engine: 'native' | 'portable'): string {
  return engine === 'native' ? '--native' : '--no-native';
}

/** `-m`, killed at the n-th call, then `-m` again. */
function messages(site: Site, engine: 'native' | 'portable', remove: boolean, options: CampaignOptions): Campaign {
  const args = [engineFlag(engine), ...(remove ? ['-r'] : [])];
  const golden = uninterrupted(site, 'folders', (env) => upgradeMessages(site, args, env));
  const name = `-m ${args.join(' ')}`;
  return attack(site, name, 'folders', golden, options, {
    attempt: (env) => upgradeMessages(site, args, env),
    resume: () => upgradeMessages(site, args),
  });
}

/** Every third message fails, its folder is published all the same; then `-m` again, killed, and again. */
function retries(site: Site, engine: 'native' | 'portable', options: CampaignOptions): Campaign {
  restore(site, 'folders');
  const broken = originals(site).filter((_file, i) => i % 3 === 0);
  for (const file of broken) {
    fs.renameSync(Buffer.from(file, 'latin1'), Buffer.from(asideOf(file), 'latin1'));
    fs.symlinkSync('elsewhere', Buffer.from(file, 'latin1'));
  }
  expectExit(upgradeMessages(site, [engineFlag(engine), '--accept-failures']), 1, 'the run with failures');
  for (const file of broken) fs.renameSync(Buffer.from(asideOf(file), 'latin1'), Buffer.from(file, 'latin1'));
  keep(site, `retry-${engine}`);
  const retry: Command = (env) => upgradeMessages(site, [engineFlag(engine)], env);
  const golden = uninterrupted(site, `retry-${engine}`, retry);
  const commands = { attempt: retry, resume: () => retry({}) };
  return attack(site, `-m ${engineFlag(engine)} after failures`, `retry-${engine}`, golden, options, commands);
}

function asideOf(file: string): string {
  return path.join(path.dirname(file), `.aside-${path.basename(file)}`);
}

/** `-s`, killed at the n-th call, then `-s` and `-m`. */
function folders(site: Site, options: CampaignOptions): Campaign {
  const engine = options.engines[0] ?? 'portable';
  const finish = () => upgradeMessages(site, [engineFlag(engine)]);
  const golden = uninterrupted(site, 'fresh', (env) => upgradeFolders(site, env), finish);
  return attack(site, '-s', 'fresh', golden, options, {
    attempt: (env) => upgradeFolders(site, env),
    resume: () => {
      const again = upgradeFolders(site);
      return again.status === 0 ? finish() : again;
    },
  });
}

interface Golden {
  readonly calls: number;
  readonly result: readonly string[];
  readonly originals: readonly string[];
}

type Command = (env: Readonly<Record<string, string>>) => ReturnType<typeof upgradeMessages>;

function uninterrupted(
  site: Site,
  state: string,
  attempt: Command,
  finish?: () => ReturnType<typeof upgradeMessages>,
): Golden {
  restore(site, state);
  const report = path.join(site.root, 'calls');
  expectExit(attempt({ MAILHAUL_FAULT: `count:${report}` }), 0, 'the uninterrupted run');
  if (finish !== undefined) expectExit(finish(), 0, 'the uninterrupted run');
  return { calls: Number(fs.readFileSync(report, 'utf8')), result: fingerprint(site), originals: originals(site) };
}

function attack(
  site: Site,
  name: string,
  state: string,
  golden: Golden,
  options: CampaignOptions,
  commands: { readonly attempt: Command; readonly resume: () => ReturnType<typeof upgradeMessages> },
): Campaign {
  const problems: string[] = [];
  let killed = 0;
  for (let n = 1; n <= golden.calls; n += options.every) {
    restore(site, state);
    const attempt = commands.attempt({ MAILHAUL_FAULT: `kill:${n}` });
    if (attempt.signal === 'SIGKILL') killed += 1;
    else if (attempt.status !== 0) problems.push(`call ${n}: ended with ${attempt.status}: ${attempt.stderr}`);
    const surviving = survivingContents(site);
    const lost = [...site.contents].filter((content) => !surviving.has(content));
    if (lost.length > 0) problems.push(`call ${n}: ${lost.length} messages have no name after the kill`);
    const resumed = commands.resume();
    if (resumed.status !== 0) {
      problems.push(
        `call ${n}: the next run ended with ${resumed.status ?? resumed.signal}: ${resumed.stderr}${resumed.stdout}`,
      );
      continue;
    }
    const difference = firstDifference(golden.result, fingerprint(site));
    if (difference !== undefined) problems.push(`call ${n}: ${difference}`);
    if (originals(site).join('\n') !== golden.originals.join('\n'))
      problems.push(`call ${n}: other 3.x files are left`);
    if (n % 20 === 1) options.onProgress?.(`${name}: ${n}/${golden.calls}, ${problems.length} problems`);
  }
  return { name, calls: golden.calls, killed, problems };
}

function firstDifference(expected: readonly string[], actual: readonly string[]): string | undefined {
  const missing = expected.find((line) => !actual.includes(line));
  const extra = actual.find((line) => !expected.includes(line));
  if (missing === undefined && extra === undefined) return undefined;
  return `the result differs\n  expected ${missing ?? '(nothing)'}\n  found    ${extra ?? '(nothing)'}`;
}

function expectExit(result: ReturnType<typeof upgradeMessages>, status: number, what: string): void {
  if (result.status !== status)
    throw new Error(`${what} ended with ${result.status ?? result.signal}: ${result.stderr}${result.stdout}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { every: { type: 'string', default: '1' }, engine: { type: 'string', multiple: true } },
  });
  const chosen = engines().filter((engine) => values.engine === undefined || values.engine.includes(engine));
  const campaigns = runCampaigns({
    every: Number(values.every),
    engines: chosen,
    onProgress: (line) => console.log(line),
  });
  for (const { name, calls, killed, problems } of campaigns) {
    console.log(`${name}: ${calls} effective calls, killed ${killed} times, ${problems.length} problems`);
    for (const problem of problems.slice(0, 10)) console.log(`  ${problem.slice(0, 600)}`);
  }
  process.exitCode = campaigns.some(({ problems }) => problems.length > 0) ? 1 : 0;
}
