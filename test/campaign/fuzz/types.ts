/** What a fuzz target is: a reader of somebody else's bytes, and what must hold whatever the bytes are. */

/** A promise that an input broke; the engine reports it like a crash. */
export class BrokenPromise extends Error {
  constructor(promise: string) {
    super(promise);
    this.name = 'BrokenPromise';
  }
}

/** Throws unless `holds`. */
export function promise(holds: boolean, what: string): asserts holds {
  if (!holds) throw new BrokenPromise(what);
}

/** The value of `read`, for which not even an error with a code is an answer: it reads what was just written. */
export function sure<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof BrokenPromise) throw error;
    throw new BrokenPromise(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

export interface FuzzTarget {
  readonly name: string;
  /** Sound inputs to start from, small ones. */
  seeds(): readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
  /** A format of offsets and numbers. */
  readonly binary?: boolean;
  /** Tokens beside the string literals of the code under test. */
  readonly tokens?: readonly string[];
  /** Longest input. */
  readonly maxBytes: number;
  /** Makes lengths and checks fit, so that the rest of the input is looked at. Some inputs go without. */
  repair?(bytes: Uint8Array): Uint8Array;
  /**
   * Reads the bytes. A MailhaulError is a valid answer; any other exception, a broken promise, a hang, and steps or
   * memory beyond the bounds below are findings.
   */
  run(bytes: Uint8Array): void | Promise<void>;
  /** Basic blocks executed for each byte of input, and bytes allocated; 2,000 unless given. */
  readonly stepsPerByte?: number;
  readonly bytesPerByte?: number;
  /** What may be used whatever the input; 1,000,000 steps and 4 MiB unless given. */
  readonly stepsAlways?: number;
  readonly bytesAlways?: number;
  /** One execution costs as much as this many of other targets; 1 unless given. */
  readonly weight?: number;
  /** Removes what the target put on disk. */
  close?(): void;
}

/** What the worker that runs the engine tells the campaign. */
export type WorkerMessage =
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'finding'; readonly finding: Finding }
  | { readonly kind: 'done'; readonly progress: Progress };

export interface Progress {
  readonly executions: number;
  /** Inputs kept because each reached something new. */
  readonly corpus: number;
  /** Branches reached, of those in the loaded modules. */
  readonly branches: number;
  readonly branchesInAll: number;
}

export interface Finding {
  readonly signature: string;
  readonly description: string;
  readonly input: Uint8Array;
}

export interface WorkerTask {
  readonly target: string;
  readonly seed: string;
  /** Mutations to try; with `milliseconds` 0. */
  readonly executions: number;
  readonly milliseconds: number;
  /** More seeds: regressions, and what an earlier campaign kept. */
  readonly inputs: readonly Uint8Array[];
  /** Only run the inputs; nothing is mutated. */
  readonly replay: boolean;
  /** Slot 0 executions, slot 1 bytes of the input in hand; the input follows from byte 64 on. */
  readonly shared: SharedArrayBuffer;
  /** Directory for what the engine keeps; empty for none. */
  readonly keep: string;
}

/** Where the input in hand lies in the shared memory. */
export const SHARED_INPUT_AT = 64;
