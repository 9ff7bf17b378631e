/** The thread that runs one target. Its code is the instrumented one (instrument.ts). */
import { parentPort, workerData } from 'node:worker_threads';
import { installMeter } from './meter.js';
import type { WorkerMessage, WorkerTask } from './types.js';

installMeter();
const { Engine } = await import('./engine.js');
const { loadTarget } = await import('./targets/index.js');

const task = workerData as WorkerTask;
const send = (message: WorkerMessage): void => parentPort?.postMessage(message);
const target = await loadTarget(task.target);
const engine = new Engine(target, task, (finding) => send({ kind: 'finding', finding }));
try {
  await engine.run((progress) => send({ kind: 'progress', progress }));
} finally {
  target.close?.();
}
send({ kind: 'done', progress: engine.progress });
