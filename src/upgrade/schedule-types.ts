/** What the schedule (schedule.ts) keeps of devices, of routes between them, and of batches on their way. */
import type { InFlightLimit } from './limit.js';

/** What is to be done between two devices. */
export interface RouteWork {
  /** Equal for the same device. */
  readonly source: string;
  readonly target: string;
  readonly folders: number;
  /** An estimate. */
  readonly messages: number;
}

/** What was done. */
export interface Amount {
  readonly messages: number;
  readonly bytes: number;
}

export type Step = 'prepare' | 'move';

/** A batch on its way. */
export interface Ticket {
  readonly route: number;
  readonly folders: number;
  /** Estimate, messages. */
  readonly messages: number;
  /** What it waits for or does; undefined between its steps. */
  step: Step | undefined;
  /** It has a thread. */
  running: boolean;
  startedMs: number;
  /** Milliseconds with a thread so far. */
  threadMs: number;
  /** Its plans are in memory, and nothing of it is being moved. */
  planned: boolean;
  /** It was not moved yet. */
  wantsThread: boolean;
  /** Versions of the limits of its devices when it began. */
  readonly versions: number[];
  /** Threads that could help with the step in hand, and those that do. */
  helpersWanted: number;
  helpers: number;
  /** What helpers have moved: the limits know of it already. */
  helpedUnits: number;
}

export interface DeviceUse extends Amount {
  readonly device: string;
  /** Tasks at a time: what measuring has found so far. */
  readonly limit: number;
  /** Milliseconds in which at least one task was under way. */
  readonly busyMs: number;
}

export interface Device {
  readonly key: string;
  readonly limit: InFlightLimit;
  active: number;
  /** Batches that want a thread, now or for their next step, or have one. */
  wanted: number;
  busyMs: number;
  changedMs: number;
  /** Estimated messages that no batch has taken, and those of batches that are done. */
  left: number;
  estimateDone: number;
  messages: number;
  bytes: number;
}

export interface Route {
  /** Source and target; one of them when they are the same. */
  readonly devices: readonly Device[];
  readonly moves: Ticket[];
  readonly prepares: Ticket[];
  foldersLeft: number;
  messagesLeft: number;
  exhausted: boolean;
  /** Of tasks that are on no list: what it has waiting comes first. */
  readonly errands: boolean;
  /** Batches, and their folders. */
  underWay: number;
  foldersUnderWay: number;
  /** Folders that wait for their move. */
  queuedFolders: number;
  /** Messages of which plans are made or wait. */
  plannedMessages: number;
}

export interface ScheduleOptions {
  /** `-t`: tasks at a time in all. */
  readonly threads: number;
  /** `-q` */
  readonly queue: number;
  /** Folders of batches under way that have not been moved; (held.ts). */
  readonly foldersUnderWay?: number | undefined;
}
