/** Walks every reachable state of the model (folder.ts). */
import { broken, finished, initialState, type Limits, type Protocol, type State, successors } from './folder.js';

export interface Exploration {
  readonly states: number;
  /** The first promise broken, with the steps that led there. */
  readonly violation: { readonly what: string; readonly trace: readonly State[] } | undefined;
  /** States in which nobody can do anything, and the work is not finished. */
  readonly stuck: number;
}

/** Breadth first over every reachable state. */
export function explore(protocol: Protocol, limits: Limits): Exploration {
  const start = initialState(limits);
  const seen = new Map<string, string | undefined>([[JSON.stringify(start), undefined]]);
  let frontier: State[] = [start];
  let stuck = 0;
  while (frontier.length > 0) {
    const following: State[] = [];
    for (const state of frontier) {
      const key = JSON.stringify(state);
      const what = broken(state);
      if (what !== undefined) return { states: seen.size, violation: { what, trace: traceOf(seen, key) }, stuck };
      const next = successors(state, protocol);
      if (state.migrators.every((m) => m.step === 'done') && !finished(state)) stuck += 1;
      if (next.length === 0 && !finished(state)) stuck += 1;
      for (const successor of next) {
        const successorKey = JSON.stringify(successor);
        if (seen.has(successorKey)) continue;
        seen.set(successorKey, key);
        following.push(successor);
      }
    }
    frontier = following;
  }
  return { states: seen.size, violation: undefined, stuck };
}

function traceOf(seen: ReadonlyMap<string, string | undefined>, last: string): State[] {
  const trace: State[] = [];
  for (let key: string | undefined = last; key !== undefined; key = seen.get(key))
    trace.unshift(JSON.parse(key) as State);
  return trace;
}
