/** Simulated disks under a real schedule: a clock that jumps from event to event. */
import { Schedule } from '../../src/upgrade/schedule.js';
import type { DeviceUse, Step, Ticket } from '../../src/upgrade/schedule-types.js';

export interface SimulatedDisk {
  /** Messages a millisecond that it does with so many tasks at a time, all of them together. */
  rate(tasks: number): number;
}

export interface SimulatedRoute {
  readonly source: string;
  readonly target: string;
  /** Messages of each folder, in working order. */
  readonly folders: ArrayLike<number>;
}

export interface Simulation {
  readonly disks: Readonly<Record<string, SimulatedDisk>>;
  readonly routes: readonly SimulatedRoute[];
  readonly threads: number;
  readonly queue?: number;
  /** From the end of a prepare until the batch wants its next thread. */
  readonly recordMs?: number;
  /** The cost of a batch is multiplied by 1 ± this. */
  readonly noise?: number;
  /** Changes a disk at a moment. */
  readonly change?: { readonly atMs: number; readonly disks: Readonly<Record<string, SimulatedDisk>> };
}

export interface Simulated {
  readonly ms: number;
  readonly messages: number;
  readonly uses: ReadonlyMap<string, DeviceUse>;
  /** By device: when its last task ended, and milliseconds before that without a task. */
  readonly ended: ReadonlyMap<string, number>;
  readonly idle: ReadonlyMap<string, number>;
  readonly mostActive: number;
  readonly mostFoldersHeld: number;
  /** Share of the threads that worked, in the last tenth of the time. */
  readonly tailBusy: number;
  /** Folders of every batch, in the order of their beginning. */
  readonly batches: readonly number[];
}

interface Task {
  readonly ticket: Ticket;
  readonly step: Step;
  left: number;
}

/** Batches hold so many messages at most (worklist.ts). */
const BATCH_MESSAGES = 1_000;
/** Reading and planning a folder costs this share of moving it. */
const PREPARE_SHARE = 0.15;

export function simulate(simulation: Simulation): Simulated {
  const { routes, threads, queue = 50, recordMs = 10, noise = 0, change } = simulation;
  let { disks } = simulation;
  const random = generator();
  const sum = (values: ArrayLike<number>): number => Array.from(values).reduce((total, value) => total + value, 0);
  const works = routes.map(({ source, target, folders }) => ({
    source,
    target,
    folders: folders.length,
    messages: sum(folders),
  }));
  const schedule = new Schedule(works, { threads, queue });
  const cursors = routes.map(() => 0);
  const running = new Set<Task>();
  const recording: { readonly ticket: Ticket; readonly at: number }[] = [];
  const batches: number[] = [];
  const ended = new Map<string, number>();
  const busy = new Map<string, number>();
  const activity: { readonly at: number; readonly active: number }[] = [];
  let [now, held, mostFoldersHeld, mostActive, messages] = [0, 0, 0, 0, 0];

  const devicesOf = ({ route }: Ticket): string[] => {
    const { source, target } = routes[route] as SimulatedRoute;
    return source === target ? [source] : [source, target];
  };
  const activeOn = (device: string): number =>
    [...running].filter(({ ticket }) => devicesOf(ticket).includes(device)).length;
  const speedOf = ({ ticket }: Task): number =>
    Math.min(
      ...devicesOf(ticket).map((name) => {
        const active = activeOn(name);
        return (disks[name] as SimulatedDisk).rate(active) / active;
      }),
    );
  const start = (): void => {
    for (let ticket = schedule.grant(now); ticket !== undefined; ticket = schedule.grant(now)) {
      const step = ticket.step ?? 'move';
      const factor = (step === 'prepare' ? PREPARE_SHARE : 1) * (1 + noise * (2 * random() - 1));
      running.add({ ticket, step, left: Math.max(0.01, ticket.messages * factor) });
      if (step === 'prepare') held += ticket.folders;
    }
    mostActive = Math.max(mostActive, running.size);
    mostFoldersHeld = Math.max(mostFoldersHeld, held);
  };
  const open = (): void => {
    for (let number = schedule.open(); number !== undefined; number = schedule.open()) {
      const { folders } = routes[number] as SimulatedRoute;
      const most = schedule.batchFolders(number);
      let [count, size] = [0, 0];
      while ((cursors[number] ?? 0) < folders.length && count < most) {
        const next = folders[cursors[number] ?? 0] ?? 0;
        if (count > 0 && size + next > BATCH_MESSAGES) break;
        cursors[number] = (cursors[number] ?? 0) + 1;
        count += 1;
        size += next;
      }
      if (count === 0) schedule.exhausted(number);
      else {
        batches.push(count);
        schedule.wait(schedule.begin(number, count, size), 'prepare');
        start();
      }
    }
  };
  const finish = (task: Task): void => {
    const { ticket, step } = task;
    running.delete(task);
    for (const device of devicesOf(ticket)) ended.set(device, now);
    schedule.release(ticket, now);
    if (step === 'prepare') recording.push({ ticket, at: now + recordMs });
    else {
      held -= ticket.folders;
      messages += ticket.messages;
      schedule.end(ticket, { messages: ticket.messages, bytes: 0 }, now);
    }
  };

  start();
  open();
  while (running.size > 0 || recording.length > 0) {
    const tasks = [...running].map((task) => ({ task, speed: speedOf(task) }));
    const times = [...tasks.map(({ task, speed }) => task.left / speed), ...recording.map(({ at }) => at - now)];
    if (change !== undefined && change.atMs > now) times.push(change.atMs - now);
    const passed = Math.max(0, Math.min(...times));
    activity.push({ at: now, active: running.size });
    for (const name of new Set(tasks.flatMap(({ task }) => devicesOf(task.ticket)))) {
      busy.set(name, (busy.get(name) ?? 0) + passed);
    }
    now += passed;
    if (change !== undefined && now >= change.atMs) disks = { ...disks, ...change.disks };
    for (const { task, speed } of tasks) {
      task.left -= passed * speed;
      if (task.left <= 1e-9) finish(task);
    }
    for (const { ticket } of recording.filter(({ at }) => at <= now)) schedule.wait(ticket, 'move');
    recording.splice(0, recording.length, ...recording.filter(({ at }) => at > now));
    start();
    open();
  }
  const uses = new Map(schedule.devices(now).map((use) => [use.device, use]));
  const idle = new Map([...ended].map(([name, at]) => [name, at - (busy.get(name) ?? 0)]));
  const tailBusy = meanActive(activity, now * 0.9, now) / threads;
  return { ms: now, messages, uses, ended, idle, mostActive, mostFoldersHeld, tailBusy, batches };
}

function meanActive(activity: readonly { at: number; active: number }[], from: number, to: number): number {
  let area = 0;
  for (const [i, { at, active }] of activity.entries()) {
    const until = activity[i + 1]?.at ?? to;
    area += active * Math.max(0, Math.min(until, to) - Math.max(at, from));
  }
  return area / (to - from);
}

/** The same numbers between 0 and 1 each time. */
function generator(): () => number {
  let state = 12_345;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return state / 0x7fffffff;
  };
}

/** A disk that does `most` at best, and `single` with one task. */
export function disk(single: number, most: number): SimulatedDisk {
  return { rate: (tasks) => Math.min(most, single * tasks) };
}

/** A spindle: each further task makes it slower. */
export function spindle(single: number): SimulatedDisk {
  return { rate: (tasks) => single / (1 + 0.15 * (tasks - 1)) };
}
