/**
 * Drives a schedule: takes batches off the lists, gives each the thread that the schedule grants it, and keeps the next
 * ones ready, so that a thread that ends a task finds another one at once.
 */
import type { Help, Schedule } from './schedule.js';
import type { Amount, Step, Ticket } from './schedule-types.js';

/** What a batch has of the threads. */
export interface Lane {
  /** Waits for a thread and does one step of the batch with it; others that are free then may help. */
  run<T>(step: Step, task: () => Promise<T>, helpers?: Helpers): Promise<T>;
}

/** Waits for a thread that the device may have now, and does a task with it that is on no list. */
export type Errand = <T>(device: string, task: () => Promise<T>) => Promise<T>;

export interface Helpers {
  /** So many at most. */
  readonly threads: number;
  /** One of them does a piece; undefined: nothing was left. */
  piece(): Promise<Amount | undefined>;
}

export interface Taken<B> {
  readonly batch: B;
  readonly folders: number;
  /** An estimate. */
  readonly messages: number;
}

/** The threads, of which more may come while the work goes on (crew.ts). */
export interface Crew {
  /** Those that take tasks now. */
  readonly size: number;
  /** As many as there may be. */
  readonly most: number;
  /**
   * So many more would have something to do now, or none; it holds until the next call. May be asked often; `came` is called
   * for each that comes.
   */
  want(more: number, came: () => void): void;
}

export interface Work<B> {
  /** Without: as many as the schedule was told are there. */
  readonly crew?: Crew | undefined;
  /** Takes a batch of at most `maxFolders` off the list of a route; undefined: there is nothing more. */
  take(route: number, maxFolders: number): Taken<B> | undefined;
  /** Carries a batch through its steps. Must not throw. */
  process(batch: B, lane: Lane): Promise<Amount>;
  /** Nothing new is begun. */
  isStopped(): boolean;
  /** Comes first. Errands may be sent as long as the caller likes; none is left waiting, even when nothing new is begun. */
  begun?(errand: Errand): void;
  /** A thread has nothing to do: what batches wait for should come now. */
  threadFree?(): void;
}

/** Resolves when every list is at its end, or `isStopped`, and neither batch nor errand is under way. */
export function dispatch<B>(schedule: Schedule, work: Work<B>, clock = () => performance.now()): Promise<void> {
  return new Promise((resolve) => {
    const waiting = new Map<Ticket, () => void>();
    const helpers = new Map<Ticket, Helpers>();

    const grant = (): void => {
      const { crew } = work;
      if (crew !== undefined) schedule.threadsAre(crew.size, crew.most);
      for (let ticket = schedule.grant(clock()); ticket !== undefined; ticket = schedule.grant(clock())) {
        waiting.get(ticket)?.();
        waiting.delete(ticket);
      }
      for (let help = schedule.grantHelp(clock()); help !== undefined; help = schedule.grantHelp(clock())) {
        void assist(help);
      }
      crew?.want(schedule.threadsWanted(), advance);
    };

    const assist = async (help: Help): Promise<void> => {
      const { ticket } = help;
      // A helper that fails has left nothing undone: what it took is in the result of the one who has the folder.
      const step = helpers.get(ticket);
      const moved = await step?.piece().catch(() => undefined);
      // Unless the batch is at its next step by now.
      if (moved === undefined && helpers.get(ticket) === step) schedule.wantHelp(ticket, 0);
      schedule.releaseHelp(help, moved ?? { messages: 0, bytes: 0 }, clock());
      advance();
    };

    const laneOf = (ticket: Ticket): Lane => ({
      async run(step, task, others) {
        await new Promise<void>((go) => {
          waiting.set(ticket, go);
          schedule.wait(ticket, step);
          grant();
        });
        try {
          const done = task();
          if (others !== undefined) {
            helpers.set(ticket, others);
            schedule.wantHelp(ticket, others.threads);
            grant();
          }
          return await done;
        } finally {
          helpers.delete(ticket);
          schedule.wantHelp(ticket, 0);
          // Before anybody looks at the result: the thread gets its next task first.
          schedule.release(ticket, clock());
          advance();
        }
      },
    });

    const errand: Errand = async (device, task) => {
      const ticket = schedule.beginErrand(device);
      try {
        return await laneOf(ticket).run('move', task);
      } finally {
        schedule.end(ticket, { messages: 0, bytes: 0 }, clock());
        advance();
      }
    };

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
      else if (schedule.hasFreeThread()) work.threadFree?.();
    };

    work.begun?.(errand);
    advance();
  });
}
