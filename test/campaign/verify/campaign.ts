/**
 * `upgrade --verify` against random single changes of a migrated store, with its originals and after `-r`: each of
 * them must be reported, and the store must hold again when it is undone.
 *
 *     npm run campaign -- verify               60 changes
 *     npm run campaign -- verify --long        2,000
 *     npm run campaign -- verify -- --count 300 --only 'index byte' --only mode
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { MailhaulError } from '../../../src/errors.js';
import { verifyStore } from '../../../src/upgrade/verify.js';
import { randomOf } from '../../support/generate/random.js';
import { command, makeSite, type Site, upgradeFolders, upgradeMessages } from '../support/kept-site.js';
import type { Campaign, CampaignOptions, CampaignOutcome } from '../types.js';
import { groundOf } from './ground.js';
import { MUTATORS } from './mutations.js';

const QUICK = 40;
const LONG = 2_000;
/** Every so many changes it is seen that undoing them has left nothing. */
const SOUND_EVERY = 50;
/** Every so many changes are shown to the command in a process of its own, the others to what it calls. */
const COMMAND_EVERY = 5;

export const campaign: Campaign = {
  about: 'random single changes of a migrated store: --verify reports every one',
  run,
};

async function run(options: CampaignOptions): Promise<CampaignOutcome> {
  const { values } = parseArgs({
    args: [...options.args],
    options: { count: { type: 'string' }, only: { type: 'string', multiple: true } },
  });
  const count = Number(values.count ?? (options.long ? LONG : QUICK));
  const names = Object.keys(MUTATORS).filter((name) => values.only === undefined || values.only.includes(name));
  if (names.length === 0) throw new Error(`There is no change ${values.only}: ${Object.keys(MUTATORS).join(', ')}.`);
  const problems: string[] = [];
  const notes: string[] = [];
  let cases = 0;
  for (const remove of [false, true]) {
    const root = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-verify-'));
    const cleanUp = (): void => fs.rmSync(root, { recursive: true, force: true });
    process.once('exit', cleanUp);
    try {
      const site = migratedSite(root, options.seed, remove);
      const found = await attack(site, names, Math.ceil(count / 2), `${options.seed} ${remove}`, options);
      cases += found.cases;
      problems.push(...found.problems.map((problem) => `${remove ? 'after -r' : 'originals there'}: ${problem}`));
      notes.push(...found.notes.map((note) => `${remove ? 'after -r: ' : 'originals there: '}${note}`));
    } finally {
      process.off('exit', cleanUp);
      cleanUp();
    }
  }
  return { cases, problems, notes };
}

function migratedSite(root: string, seed: string, remove: boolean): Site {
  const site = makeSite(root, { seed: `verify ${seed}` });
  for (const result of [upgradeFolders(site), upgradeMessages(site, remove ? ['-r'] : [])]) {
    if (result.status !== 0) throw new Error(`The migration ended with ${result.status}: ${result.stderr}`);
  }
  return site;
}

interface Verdict {
  readonly status: number | null;
  readonly said: string;
  readonly codes: readonly string[];
}

/** The command in a process of its own. */
function verifyByCommand(site: Site): Verdict {
  const words = ['--verify', '--json', '-t', '1', '--instance', site.instance];
  const { status, signal, stdout, stderr } = command('upgrade', words);
  const report = stdout.startsWith('{') ? (JSON.parse(stdout) as { byCode: Record<string, number> }) : undefined;
  return { status, said: `${signal ?? ''}${stderr}${stdout}`.slice(0, 600), codes: Object.keys(report?.byCode ?? {}) };
}

/** What the command calls, in this process: half the time. */
async function verifyHere(site: Site): Promise<Verdict> {
  try {
    const report = await verifyStore({ instance: site.instance, becomeServerAccount: true });
    return { status: report.exitCode, said: report.text.slice(0, 600), codes: Object.keys(report.byCode) };
  } catch (error) {
    if (!(error instanceof MailhaulError)) throw error;
    return { status: error.exit, said: error.message, codes: [] };
  }
}

async function attack(
  site: Site,
  names: readonly string[],
  count: number,
  seed: string,
  options: CampaignOptions,
): Promise<CampaignOutcome> {
  const random = randomOf(seed, 'verify');
  const ground = groundOf(site);
  const problems: string[] = [];
  const reported = new Map<string, number>();
  const problem = (text: string): void => {
    problems.push(text);
    options.log(`PROBLEM ${text}`);
  };
  const sound = (when: string): boolean => {
    const { status, said, codes } = verifyByCommand(site);
    if (status === 0 && codes.length === 0) return true;
    problem(`${when}: exit ${status}, ${said}`);
    return false;
  };
  if (!sound('before any change')) return { cases: 0, problems, notes: [] };
  let cases = 0;
  for (let draws = 0; cases < count && draws < count * 20; draws++) {
    const name = random.pick(names);
    const mutation = await MUTATORS[name]!(ground, random);
    if (mutation === undefined) continue;
    cases += 1;
    const { status, said, codes } = cases % COMMAND_EVERY === 0 ? verifyByCommand(site) : await verifyHere(site);
    await mutation.undo();
    // Between two cases a signal is heard.
    await nextTurn();
    if (status !== 1 && status !== 3) {
      problem(`${name}: ${mutation.what}: exit ${status}, expected 1 or 3; ${said}`);
    }
    for (const code of status === 3 ? ['refused'] : codes) reported.set(code, (reported.get(code) ?? 0) + 1);
    if (cases % SOUND_EVERY === 0) {
      options.log(`${cases}/${count} changes, ${problems.length} not reported`);
      if (!sound(`after undoing ${cases} changes, the last one ${mutation.what}`)) break;
    }
  }
  sound('after undoing all changes');
  const counts = [...reported].sort((a, b) => b[1] - a[1]).map(([code, times]) => `${code} ${times}`);
  return { cases, problems, notes: [`${cases} changes, reported as ${counts.join(', ')}`] };
}
