/**
 * `upgrade -m` and `upgrade -u` for whoever calls them. The threads are started first: they load their code while this
 * thread loads the rest of its own (run-messages.ts), which takes about as long.
 */
import { availableParallelism } from 'node:os';
import { armedFaults } from '../fs/seam.js';
import type { RunLimits } from './limits.js';
import type { ProgressOutput } from './progress.js';
import type { MessagesReport } from './report.js';
import type { SelectionOptions } from './selection.js';
import type { SessionOptions } from './session.js';

export interface MessagesOptions extends SessionOptions, SelectionOptions {
  readonly threads: number;
  readonly queue: number;
  readonly remove: boolean;
  readonly engine: 'native' | 'portable' | 'auto';
  readonly acceptFailures: boolean;
  readonly takeForeign: boolean;
  /** None unless given; `upgrade --throttle` changes them while the run goes on. */
  readonly limits?: RunLimits | undefined;
  readonly progressOutput?: ProgressOutput | undefined;
  /** The command that goes on after a halt, told with it. */
  readonly commandLine?: string | undefined;
  /** One line for people, such as which engine is used. */
  readonly notice?: ((line: string) => void) | undefined;
  /** Given the means to stop the run (drain) and to print progress, once it is under way. */
  readonly onStart?: ((controls: RunControls) => void) | undefined;
}

export interface RunControls {
  /** Folders under way finish and are published, nothing new is begun; the report says halted. */
  stop(reason: string): void;
  /** The threads end after the message in hand; nothing more is published. For a process that is about to exit. */
  stopAtOnce(): void;
  progressLine(): string;
}

/** Migrates. Throws MailhaulError when it could not start; everything later is in the report. */
export async function upgradeMessages(options: MessagesOptions): Promise<MessagesReport> {
  const { startPool } = await import('./pool.js');
  // How many more of them the run can use is known when it has looked for what is due.
  const pool = startPool(Math.min(options.threads, availableParallelism()), {
    engine: options.engine,
    faults: armedFaults() ?? null,
  });
  try {
    const { runMessages } = await import('./run-messages.js');
    return await runMessages(options, pool);
  } finally {
    await pool.close();
  }
}
