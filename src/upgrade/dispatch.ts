/**
 * Drives a schedule: takes batches off the lists, gives each the thread that the schedule grants it, and keeps the next
 * ones ready, so that a thread that ends a task finds another one at once.
 */
import type { Amount, Schedule, Step, Ticket } from './schedule.js';

/** What a batch has of the threads. */
export interface Lane {
  /** Waits for a thread and does one step of the batch with it. */
  run<T>(step: Step, task: () => Promise<T>): Promise<T>;
}

export interface Taken<B> {
  readonly batch: B;
  readonly folders: number;
  /** An estimate. */
  readonly messages: number;
}

export interface Work<B> {
  /** Takes a batch of at most `maxFolders` off the list of a route; undefined: there is nothing more. */
  take(route: number, maxFolders: number): Taken<B> | undefined;
  /** Carries a batch through its steps. Must not throw. */
  process(batch: B, lane: Lane): Promise<Amount>;
  /** Nothing new is begun. */
  isStopped(): boolean;
}

/** Resolves when every list is at its end, or `isStopped`, and no batch is under way. */
export function dispatch<B>(schedule: Schedule, work: Work<B>, clock = () => performance.now()): Promise<void> {
  return new Promise((resolve) => {
    const waiting = new Map<Ticket, () => void>();

    const grant = (): void => {
      for (let ticket = schedule.grant(clock()); ticket !== undefined; ticket = schedule.grant(clock())) {
        waiting.get(ticket)?.();
        waiting.delete(ticket);
      }
    };

    const laneOf = (ticket: Ticket): Lane => ({
      async run(step, task) {
        await new Promise<void>((go) => {
          waiting.set(ticket, go);
          schedule.wait(ticket, step);
          grant();
        });
        try {
          return await task();
        } finally {
          // Before anybody looks at the result: the thread gets its next task first.
          schedule.release(ticket, clock());
          advance();
        }
      },
    });

    const begin = (route: number): void => {
      const taken = work.take(route, schedule.batchFolders(route));
      if (taken === undefined) {
        schedule.exhausted(route);
        return;
      }
      const ticket = schedule.begin(route, taken.folders, taken.messages);
      void work.process(taken.batch, laneOf(ticket)).then((amount) => {
        schedule.end(ticket, amount, clock());
        advance();
      });
    };

    const advance = (): void => {
      grant();
      while (!work.isStopped()) {
        const route = schedule.open();
        if (route === undefined) break;
        begin(route);
      }
      if (schedule.isIdle()) resolve();
    };

    advance();
  });
}
