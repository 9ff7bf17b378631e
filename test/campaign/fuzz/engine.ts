/**
 * A small coverage-guided fuzzer: inputs that reach something new are kept and changed further, what breaks a promise
 * is made smaller and reported. Everything follows from the seed, but for the number of executions of a timed run.
 */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MailhaulError } from '../../../src/errors.js';
import { codeLiterals, coverage, readMeter, resetMeter } from './meter.js';
import { mutate } from './mutate.js';
import { Chance } from './random.js';
import {
  BrokenPromise,
  type Finding,
  type FuzzTarget,
  type Progress,
  promise,
  SHARED_INPUT_AT,
  type WorkerTask,
} from './types.js';

const STEPS = { always: 1_000_000, perByte: 2_000 };
const MEMORY = { always: 4 << 20, perByte: 2_000 };
/** Different findings after which a run ends: they are most likely one. */
const FINDINGS = 20;
/** Executions that making one finding smaller may take. */
const SHRINK = 1500;
/** Milliseconds between two reports. */
const REPORT_EVERY = 2000;

export class Engine {
  readonly #target: FuzzTarget;
  readonly #task: WorkerTask;
  readonly #chance: Chance;
  readonly #corpus: Uint8Array[] = [];
  readonly #found = new Map<string, Finding>();
  readonly #onFinding: (finding: Finding) => void;
  readonly #counts: Int32Array;
  readonly #inHand: Uint8Array;
  #executions = 0;

  constructor(target: FuzzTarget, task: WorkerTask, onFinding: (finding: Finding) => void) {
    this.#target = target;
    this.#task = task;
    this.#onFinding = onFinding;
    this.#chance = new Chance(`${task.seed} ${target.name}`);
    this.#counts = new Int32Array(task.shared, 0, 2);
    this.#inHand = new Uint8Array(task.shared, SHARED_INPUT_AT);
  }

  get progress(): Progress {
    const { reached, all } = coverage();
    return { executions: this.#executions, corpus: this.#corpus.length, branches: reached, branchesInAll: all };
  }

  async run(onProgress: (progress: Progress) => void): Promise<void> {
    for (const seed of await this.#target.seeds()) {
      await this.#try(seed);
      this.#corpus.push(seed);
    }
    for (const input of this.#task.inputs) await this.#try(input);
    if (this.#task.replay) return;
    const tokens = [...new Set([...(this.#target.tokens ?? []), ...codeLiterals()])].map((text) =>
      Buffer.from(text, 'latin1'),
    );
    const { maxBytes, binary = false } = this.#target;
    const pool = { corpus: this.#corpus, tokens, maxBytes, binary };
    const ends = performance.now() + this.#task.milliseconds;
    let reported = performance.now();
    for (let mutations = 0; this.#found.size < FINDINGS; mutations++) {
      const now = performance.now();
      if (this.#task.milliseconds > 0 ? now >= ends : mutations * (this.#target.weight ?? 1) >= this.#task.executions)
        break;
      if (now - reported > REPORT_EVERY) {
        reported = now;
        onProgress(this.progress);
      }
      const made = mutate(this.#chance, this.#base(), pool);
      const repair = this.#target.repair;
      await this.#try(repair === undefined || this.#chance.once(5) ? made : repair(made));
    }
  }

  /** Something to change: half the time one of the inputs that came last. */
  #base(): Uint8Array {
    const all = this.#corpus.length;
    const recent = Math.min(all, 32);
    return this.#corpus[this.#chance.once(2) ? all - 1 - this.#chance.below(recent) : this.#chance.below(all)]!;
  }

  async #try(input: Uint8Array): Promise<void> {
    const { fault, isNew } = await this.#execute(input);
    if (fault !== undefined) return this.#report(input, fault);
    if (!isNew) return;
    this.#corpus.push(input);
    if (this.#task.keep === '') return;
    const name = createHash('sha1').update(input).digest('hex');
    writeFileSync(join(this.#task.keep, name), input);
  }

  /** Runs the target once; `fault` is what it must not do. */
  async #execute(input: Uint8Array): Promise<{ fault: Error | undefined; isNew: boolean }> {
    // The main thread has the input when this thread hangs or dies.
    this.#counts[1] = Math.min(input.length, this.#inHand.length);
    this.#inHand.set(input.subarray(0, this.#inHand.length));
    Atomics.add(this.#counts, 0, 1);
    this.#executions++;
    // A copy of its own, so that nothing can be read past its end and nothing the target does to it is kept.
    const copy = new Uint8Array(input);
    resetMeter();
    let fault: Error | undefined;
    try {
      const running = this.#target.run(copy);
      if (running !== undefined) await running;
    } catch (error) {
      if (!(error instanceof MailhaulError)) fault = error instanceof Error ? error : new Error(String(error));
      else if (!/^[A-Z0-9]+(_[A-Z0-9]+)+$/.test(error.code))
        fault = new BrokenPromise(`the code ${error.code} is stable`);
    }
    const { steps, bytes, isNew } = readMeter();
    try {
      const { stepsAlways = STEPS.always, stepsPerByte = STEPS.perByte } = this.#target;
      const { bytesAlways = MEMORY.always, bytesPerByte = MEMORY.perByte } = this.#target;
      promise(steps <= stepsAlways + stepsPerByte * input.length, 'time is linear in the input');
      promise(bytes <= bytesAlways + bytesPerByte * input.length, 'memory is bounded by the input');
    } catch (error) {
      fault ??= error as Error;
      fault.message += ` (${steps} steps, ${bytes} bytes for ${input.length})`;
    }
    return { fault, isNew };
  }

  async #report(input: Uint8Array, fault: Error): Promise<void> {
    const signature = signatureOf(fault);
    if (this.#found.has(signature)) return;
    // Entered first: what is tried while it is made smaller must not be reported again.
    this.#found.set(signature, { signature, description: '', input });
    const small = await this.#shrink(input, signature);
    const finding = { signature, description: fault.stack ?? fault.message, input: small };
    this.#found.set(signature, finding);
    this.#onFinding(finding);
  }

  /** Takes pieces out for as long as the same fault shows. */
  async #shrink(input: Uint8Array, signature: string): Promise<Uint8Array> {
    let best = input;
    let tries = 0;
    for (let piece = Math.max(1, best.length >> 1); piece >= 1 && tries < SHRINK; piece >>= 1) {
      for (let at = 0; at < best.length && tries < SHRINK; ) {
        const less = new Uint8Array(Buffer.concat([best.subarray(0, at), best.subarray(at + piece)]));
        const repaired = this.#target.repair?.(less) ?? less;
        tries++;
        const { fault } = await this.#execute(repaired);
        if (fault !== undefined && signatureOf(fault) === signature) best = repaired;
        else at += piece;
      }
    }
    return best;
  }
}

/** The kind of a fault: its message without numbers, and where it was thrown. */
function signatureOf(fault: Error): string {
  const place = /\n\s+at (?!promise\b)[^\n]*?([\w.-]+\/[\w.-]+\.js:\d+)/.exec(fault.stack ?? '')?.[1] ?? '';
  const message = fault instanceof BrokenPromise ? fault.message : fault.message.replace(/\d+|".*"|'.*'/g, '…');
  return `${fault.name}: ${message.replace(/ \(.*$/, '').slice(0, 120)} at ${place}`;
}
