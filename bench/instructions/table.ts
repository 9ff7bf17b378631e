/** The figures as people read them: a message and a byte, beside what is on record. */
import type { Figures, SystemCalls, Verdict } from './record.js';

export function table(now: Figures, before: Figures | undefined, verdicts: readonly Verdict[]): string {
  return [
    ...instructionLines(now.instructions, before?.instructions ?? {}),
    ...Object.entries(now.systemCalls).flatMap(([fileSystem, cases]) => callLines(fileSystem, cases, now.instructions)),
    ...verdicts.map(({ subject, fails, text }) => `${fails ? 'PROBLEM' : 'better'}: ${subject}: ${text}`),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

function instructionLines(now: Figures['instructions'], before: Figures['instructions']): string[] {
  const head = `${'instructions'.padEnd(26)} ${'a message'.padStart(10)} ${'a byte'.padStart(8)} ${'change'.padStart(9)}`;
  const lines = Object.entries(now).map(([name, { instructions, messages, bytes }]) => {
    const recorded = before[name]?.instructions;
    const change = recorded === undefined ? '' : `${((instructions / recorded - 1) * 100).toFixed(2)} %`;
    const [message, byte] = [(instructions / messages).toFixed(0), (instructions / bytes).toFixed(3)];
    return `${name.padEnd(26)} ${message.padStart(10)} ${byte.padStart(8)} ${change.padStart(9)}`;
  });
  return [head, ...lines, ''];
}

function callLines(
  fileSystem: string,
  cases: Readonly<Record<string, SystemCalls>>,
  figures: Figures['instructions'],
): string[] {
  const lines = Object.entries(cases).map(([name, calls]) => {
    const all = Object.values(calls).reduce((sum, count) => sum + count, 0);
    const often = Object.entries(calls).sort(([, a], [, b]) => b - a);
    const message = (all / (figures[name]?.messages ?? 1)).toFixed(2);
    return `${name.padEnd(26)} ${message.padStart(10)}  ${often.map(([call, count]) => `${call} ${count}`).join(', ')}`;
  });
  return [`${`system calls on ${fileSystem}`.padEnd(26)} ${'a message'.padStart(10)}  all`, ...lines, ''];
}
