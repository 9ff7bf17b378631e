/** What a transfer thread works with, in the process of a test. */
import { selectEngine } from '../../src/engine/engines.js';
import { nsms3 } from '../../src/source/nsms3/source.js';
import type { StepTools } from '../../src/upgrade/steps.js';
import type { WorkerContext } from '../../src/upgrade/tasks.js';
import { ACCOUNT } from './small-store.js';

/** `more`: what is not as in an ordinary run. */
export async function threadTools(more: Partial<WorkerContext> = {}): Promise<StepTools> {
  const engine = await selectEngine('auto');
  const context: WorkerContext = {
    engine: engine.name,
    progress: new Int32Array(new SharedArrayBuffer(64)),
    pace: null,
    ownerUid: ACCOUNT.uid,
    ownerGid: ACCOUNT.gid,
    setOwner: process.geteuid?.() === 0,
    takeForeign: false,
    publishWithFailures: false,
    ...more,
  };
  return { engine, source: nsms3, context };
}
