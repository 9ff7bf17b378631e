/** The addon, built with ASan and UBSan, under Node: what JavaScript hands over may be anything. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { addonSources, program } from './compile.js';
import { instrumented } from './instrument.js';
import { makePlace, watched } from './place.js';
import type { RunResult } from './runner.js';

export const BOUNDARY = 'boundary';

const CALLS = 1000;
/** Calls of one process of a long run. */
const BATCH = 2000;

function buildAddon(): Promise<string> {
  return program('boundary', addonSources(), ['-shared', '-shared-libasan', '-fsanitize=address,undefined']);
}

export async function runBoundary(task: { seed: string; milliseconds: number; long: boolean }): Promise<RunResult> {
  const addon = await buildAddon();
  const child = instrumented('boundary-child');
  const runtime = spawnSync('clang++', ['-print-file-name=libclang_rt.asan-x86_64.so'], { encoding: 'utf8' });
  const env = { ...process.env, LD_PRELOAD: runtime.stdout.trim(), ASAN_OPTIONS: 'detect_leaks=0' };
  const directory = makePlace('boundary');
  const findings: RunResult['findings'][number][] = [];
  const ends = performance.now() + task.milliseconds;
  let calls = 0;
  try {
    do {
      const batch = task.long ? BATCH : CALLS;
      const arguments_ = [child, addon, directory, task.seed, String(calls), String(batch)];
      const { code, output } = await run(arguments_, env);
      if (code !== 0) {
        const place = join(directory, 'call');
        if (!existsSync(place)) throw new Error(`The process with the addon did not begin:\n${output}`);
        const at = readFileSync(place).readUInt32LE(0);
        const why = output.split('\n').filter((line) => /ERROR|runtime error|^ {4}#[0-9] |^call /.test(line));
        const description = `call ${at} of seed ${task.seed} (exit ${code})\n${why.slice(0, 12).join('\n')}`;
        findings.push({ signature: `call ${at}`, description, input: new Uint8Array() });
        calls = at + 1;
      } else calls += batch;
    } while (task.long && performance.now() < ends && findings.length < 10);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return { progress: { executions: calls, corpus: 0, branches: 0, branchesInAll: 0 }, findings };
}

/** Runs Node to its end; a signal as exit code 128 + its number would be, or -1. */
export function run(
  arguments_: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<{ code: number; signal: string; output: string }> {
  return new Promise((resolve, reject) => {
    const child = watched(spawn(process.execPath, arguments_, { env, stdio: ['ignore', 'ignore', 'pipe'] }));
    const pieces: Buffer[] = [];
    child.stderr.on('data', (piece: Buffer) => pieces.push(piece));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve({ code: code ?? -1, signal: signal ?? '', output: Buffer.concat(pieces).toString('latin1') });
    });
  });
}
