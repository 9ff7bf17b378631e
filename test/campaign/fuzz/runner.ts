/** Runs one target in a thread of its own, watches it, and gathers what it finds. */
import { Worker } from 'node:worker_threads';
import { type Finding, type Progress, SHARED_INPUT_AT, type WorkerMessage, type WorkerTask } from './types.js';

/** A single execution that takes longer hangs; the machine may be busy with other things. */
const HANGS_AFTER = 60_000;
/** Megabytes of heap of the thread. */
const HEAP = 512;

export interface RunResult {
  readonly progress: Progress;
  readonly findings: readonly Finding[];
  /** What the line of the result says beside. */
  readonly note?: string;
}

export function runTarget(
  program: string,
  task: Omit<WorkerTask, 'shared'>,
  onProgress: (progress: Progress) => void,
): Promise<RunResult> {
  const shared = new SharedArrayBuffer(SHARED_INPUT_AT + (1 << 20));
  const counts = new Int32Array(shared, 0, 2);
  const findings: Finding[] = [];
  let progress: Progress = { executions: 0, corpus: 0, branches: 0, branchesInAll: 0 };
  let [seen, since] = [-1, performance.now()];
  const worker = new Worker(program, {
    workerData: { ...task, shared } satisfies WorkerTask,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: HEAP },
  });
  const blame = (signature: string, description: string): void => {
    const input = Uint8Array.from(new Uint8Array(shared, SHARED_INPUT_AT, counts[1] ?? 0));
    findings.push({ signature, description, input });
  };
  return new Promise((resolve) => {
    const watchdog = setInterval(() => {
      const now = Atomics.load(counts, 0);
      if (now !== seen) [seen, since] = [now, performance.now()];
      else if (now > 0 && performance.now() - since > HANGS_AFTER) {
        blame('hang', `One execution did not end within ${HANGS_AFTER / 1000} s.`);
        void worker.terminate();
      }
    }, 1000);
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'finding') findings.push(message.finding);
      else {
        progress = message.progress;
        if (message.kind === 'progress') onProgress(progress);
      }
    });
    worker.on('error', (error) => blame(`thread: ${error.message}`, error.stack ?? String(error)));
    worker.on('exit', () => {
      clearInterval(watchdog);
      resolve({ progress, findings });
    });
  });
}
