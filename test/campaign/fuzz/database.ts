/**
 * LMDB on damaged files. Damage that the header check (src/store/lmdbHeader.ts) can see must be an error; damage inside
 * the tree may end the process, because LMDB trusts its pages: that is counted, not a finding.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './boundary.js';
import { instrumented } from './instrument.js';
import { makePlace } from './place.js';
import type { RunResult } from './runner.js';

export const DATABASE = 'database';

const CASES = 300;
const BATCH = 500;

interface DatabaseTask {
  readonly seed: string;
  readonly milliseconds: number;
  readonly inputs: readonly Uint8Array[];
  readonly long: boolean;
}

export async function runDatabase(task: DatabaseTask): Promise<RunResult> {
  const program = instrumented('database-child');
  const directory = makePlace('database');
  const inputs = task.inputs.map((input, i) => {
    const path = join(directory, `input-${i}`);
    writeFileSync(path, input);
    return path;
  });
  const findings: RunResult['findings'][number][] = [];
  const ends = performance.now() + task.milliseconds;
  const total = task.long ? Number.POSITIVE_INFINITY : CASES;
  let cases = 0;
  let inTree = 0;
  try {
    while (cases < total && findings.length < 10 && (!task.long || performance.now() < ends)) {
      const count = Math.min(BATCH, total - cases);
      const more = cases === 0 ? inputs : [];
      const arguments_ = [program, directory, task.seed, String(cases), String(count), ...more];
      const { code, signal, output } = await run(arguments_, process.env);
      if (code === 0) {
        cases += count;
        continue;
      }
      const [number = '0', where = ''] = readFileSync(join(directory, 'case'), 'utf8').split(/ (.*)/);
      cases = Number(number) + 1;
      const died = signal !== '' || code !== 3;
      if (died && /^(page|cut)/.test(where)) inTree++;
      else {
        findings.push({
          signature: where.replace(/ .*/, ''),
          description: `case ${number} of seed ${task.seed}, ${where}: ${signal || `exit ${code}`}\n${output.slice(0, 1500)}`,
          input: new Uint8Array(readFileSync(join(directory, 'db', 'mboxlist.mdb'))),
        });
      }
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const progress = { executions: cases, corpus: 0, branches: 0, branchesInAll: 0 };
  const note = `${inTree} databases damaged inside the tree ended the process (LMDB trusts its pages)`;
  return { progress, findings, note };
}
