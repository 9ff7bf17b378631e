/**
 * Signals that come before a run has begun (commands.md, exit 4: halted by a signal, safe to run again). Left to Node,
 * the process would be ended by the signal, and SIGUSR1, which asks for progress, would open a debugger's port.
 *
 * Imports nothing but the exit codes, so that it is there at once.
 */
import { EXIT } from '../errors.js';

const STOPPING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

let handOver: () => void = () => {};

/** Until `signalsAreAnswered`: the stopping ones end the process with 4, SIGUSR1 says that it is starting. */
export function answerEarlySignals(command: string): void {
  const say = (line: string): void => void process.stderr.write(`${command}: ${line}\n`);
  const stop = (signal: NodeJS.Signals): never => {
    say(`${signal}: stopped before anything was begun.`);
    process.exit(EXIT.halted);
  };
  const progress = (): void => say('starting');
  // Nobody reads standard error any more: no reason to end.
  process.stderr.on('error', () => {});
  for (const signal of STOPPING) process.on(signal, stop);
  process.on('SIGUSR1', progress);
  handOver = () => {
    for (const signal of STOPPING) process.off(signal, stop);
    process.off('SIGUSR1', progress);
  };
}

/** In a script of its own (upgrade-main.ts) this module is there once more: told what that of the entry would do. */
export function answeredBy(entry: () => void): void {
  handOver = entry;
}

/** Called when other handlers are in place, so that there is no moment without any. */
export function signalsAreAnswered(): void {
  handOver();
}
