/** Counts one case: its user-space instructions with callgrind, its system calls by name with strace. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Run, runUnder } from './program.js';
import type { InstructionFigure, SystemCalls } from './record.js';

/** Undefined when this processor has not the instructions to be counted. */
export async function instructionsOf(
  run: Run,
  directory: string,
  keep: string,
): Promise<InstructionFigure | undefined> {
  const out = join(keep, `callgrind.${run.name}${run.scalar ? '.scalar' : ''}.out`);
  const tool = ['valgrind', '--tool=callgrind', '--toggle-collect=counted', `--callgrind-out-file=${out}`];
  const work = await runUnder(tool, run, directory);
  return work && { instructions: parseCallgrind(readFileSync(out, 'utf8')), ...work };
}

/** The total of a callgrind file with one event, Ir (callgrind manual, "Callgrind Format Specification"). */
export function parseCallgrind(text: string): number {
  const total = /^events: Ir$/m.test(text) && /^(?:totals|summary): (\d+)$/m.exec(text)?.[1];
  if (!total || Number(total) === 0) throw new Error('callgrind counted nothing');
  return Number(total);
}

export async function systemCallsOf(run: Run, directory: string): Promise<SystemCalls> {
  const work = mkdtempSync(join(tmpdir(), 'mailhaul-strace-'));
  try {
    const out = join(work, 'calls');
    await runUnder(['strace', '-f', '-qq', '-e', 'signal=none', '-o', out], run, directory);
    return parseStrace(readFileSync(out, 'utf8'));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Memory for the heap: where the kernel happens to have put it decides whether it can grow in place. */
const HEAP = ['brk', 'mmap', 'mremap', 'munmap'];

/** Calls between the two marks that counted.cc makes; each line is `<pid> <name>(…) = …`. */
export function parseStrace(text: string): SystemCalls {
  const lines = text.split('\n');
  const [begin, end] = ['begin', 'end'].map((mark) => lines.findIndex((line) => line.includes(`"counted: ${mark}"`)));
  if (begin === undefined || end === undefined || begin < 0 || end < begin) throw new Error('strace saw no marks');
  const counts: Record<string, number> = {};
  for (const line of lines.slice(begin + 1, end)) {
    const name = /^\d+ +(\w+)\(/.exec(line)?.[1];
    if (name !== undefined && !HEAP.includes(name)) counts[name] = (counts[name] ?? 0) + 1;
  }
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}
