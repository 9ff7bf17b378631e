/**
 * Runs campaigns:
 *
 *     npm run campaign                          lists them
 *     npm run campaign -- <name>… [--long] [--seed s] [-- arguments of the campaign]
 *     npm run campaign -- all                   each of them, a sample
 *
 * Exit 0 when every campaign tried something and found nothing.
 */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Campaign, CampaignOutcome } from './types.js';

const HERE = new URL('.', import.meta.url);

/** Problems of a campaign that are printed; all are counted. */
const PROBLEMS_SHOWN = 20;

function names(): string[] {
  return readdirSync(fileURLToPath(HERE), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(new URL(`${entry.name}/campaign.ts`, HERE)))
    .map((entry) => entry.name)
    .sort();
}

async function load(name: string): Promise<Campaign> {
  const module = (await import(new URL(`${name}/campaign.ts`, HERE).href)) as { campaign: Campaign };
  return module.campaign;
}

async function runOne(name: string, long: boolean, seed: string, args: readonly string[]): Promise<boolean> {
  const campaign = await load(name);
  const startedMs = performance.now();
  console.log(`\n${name}: ${campaign.about}`);
  let outcome: CampaignOutcome;
  try {
    outcome = await campaign.run({ long, seed, args, log: (line) => console.log(`  ${line}`) });
  } catch (error) {
    outcome = {
      cases: 0,
      problems: [`the campaign itself failed: ${error instanceof Error ? error.stack : error}`],
      notes: [],
    };
  }
  const { cases, problems, notes } = outcome;
  for (const note of notes) console.log(`  ${note}`);
  for (const problem of problems.slice(0, PROBLEMS_SHOWN)) console.log(`  PROBLEM ${problem}`);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(
    `${name}: ${cases} cases, ${problems.length} problems, ${seconds} s, seed ${seed}${long ? ', long' : ''}`,
  );
  return cases > 0 && problems.length === 0;
}

const words = process.argv.slice(2);
const split = words.indexOf('--');
const rest = split < 0 ? [] : words.slice(split + 1);
const { values, positionals } = parseArgs({
  args: split < 0 ? words : words.slice(0, split),
  options: { long: { type: 'boolean', default: false }, seed: { type: 'string', default: '1' } },
  allowPositionals: true,
});
const known = names();
const wanted = positionals.includes('all') ? known : positionals;
const unknown = wanted.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  console.error(`There is no campaign ${unknown.join(', ')}. There are: ${known.join(', ')}.`);
  process.exit(2);
}
if (wanted.length === 0) for (const name of known) console.log(`${name.padEnd(12)} ${(await load(name)).about}`);
let good = true;
for (const name of wanted) good = (await runOne(name, values.long, values.seed, rest)) && good;
process.exit(good ? 0 : 1);
