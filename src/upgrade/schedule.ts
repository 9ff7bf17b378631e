/**
 * Which work comes next: the one place that decides what a free thread takes. It is pure: who calls it has the threads
 * and the clock (dispatch.ts; tests have simulated ones).
 *
 *     route    folders that go from one device to one other, in the order of the worklist
 *     device   what is under way on it, how much may be (limit.ts), how much is left
 *     ticket   a batch of folders on its way:
 *
 *         open ─▶ waits for a thread ─▶ prepare ─▶ recorded ─▶ waits for a thread ─▶ move ─▶ handed over
 *                 (one read ahead)                 (no thread)
 *
 * A thread that is free takes
 *
 *     1. of a device that has nothing under way: so a slow disk is busy from the first moment to the last, and a fast
 *        one never waits for it;
 *     2. else of the device with the longest time to go for each task under way: the tail then keeps all threads busy.
 *        But not the threads that other devices want now or in a moment, up to their equal share: a batch of a slow
 *        disk keeps its thread for seconds, and a fast disk has gaps of milliseconds.
 *        An errand (a task that is on no list: `-r` of a group, or the journal entries of a retry, of folders that are
 *        still locked) goes before the batches of every device, within the same bounds;
 *     3. within a route a move before a prepare: what is locked is let go of soonest;
 *     4. where none of these may start, a piece of a giant folder that another thread has in hand (sharing.ts).
 *
 * Bounds, for each route: its batches under way, its share of the queue (`-q`, folders whose records are durable and
 * that wait for a thread), and of the messages of which plans are in memory. A route without a plan may always have
 * one, so no device waits for the queue of another one.
 */
import { HELD_AT_MOST } from './held.js';
import { InFlightLimit } from './limit.js';
import { activeOn, isFull, isIdle, newDevice, paceOf, roomOf, unitsOf } from './schedule-devices.js';
import type { Amount, Device, DeviceUse, Route, RouteWork, ScheduleOptions, Step, Ticket } from './schedule-types.js';

/** A device begins with so many tasks at a time; with one where there are not twice as many threads as devices. */
const FIRST_LIMIT = 2;
/** Batches of a route beyond two for each task: being recorded, or read from the mapping. */
const BATCHES_AHEAD = 2;
/**
 * Where they have few folders, so many more. A record is durable when its disk says so, which takes a quarter of a
 * second while others link; meanwhile threads prepare folders, and the records of all those share one sync.
 */
const SMALL_BATCHES_AHEAD = 32;
/** Messages of which plans wait in memory, of all routes; 100 bytes each or so. */
const PLANNED_MESSAGES = 100_000;
/** Folders of a batch at most: each holds three descriptors until it is published. */
const BATCH_FOLDERS = 64;
/** A thread that helps. */
export interface Help {
  readonly ticket: Ticket;
  readonly versions: readonly number[];
  readonly startedMs: number;
}

export class Schedule {
  /** Threads that there may be, and those that are there (crew.ts). */
  #most: number;
  #there: number;
  readonly #devices = new Map<string, Device>();
  readonly #routes: Route[];
  /** The routes of errands, by device. */
  readonly #errands = new Map<string, number>();
  readonly #queueShare: number;
  readonly #messagesShare: number;
  readonly #batchFolders: number;
  /** Further small batches are opened while a route has fewer folders under way. */
  readonly #foldersAhead: number;
  readonly #firstLimit: number;
  /** Batches whose step others can help with. */
  readonly #helped = new Set<Ticket>();
  #active = 0;
  #underWay = 0;

  constructor(
    works: readonly RouteWork[],
    { threads, queue, foldersUnderWay = HELD_AT_MOST.underWay }: ScheduleOptions,
  ) {
    this.#most = threads;
    this.#there = threads;
    const routes = Math.max(1, works.length);
    this.#queueShare = Math.max(1, Math.floor(queue / routes));
    this.#messagesShare = PLANNED_MESSAGES / routes;
    const batches = 2 * threads + BATCHES_AHEAD * routes;
    this.#batchFolders = Math.max(1, Math.min(BATCH_FOLDERS, this.#queueShare, Math.floor(foldersUnderWay / batches)));
    this.#foldersAhead = Math.min(this.#queueShare, Math.floor(foldersUnderWay / routes) - this.#batchFolders);
    this.#firstLimit = Math.max(1, Math.min(FIRST_LIMIT, Math.floor(threads / devicesOf(works).size)));
    this.#routes = works.map((work) => this.#routeOf(work, false));
  }

  /** So many threads take tasks now, and `most` may do so later. */
  threadsAre(there: number, most: number): void {
    this.#there = there;
    if (most === this.#most) return;
    this.#most = most;
    for (const { limit } of this.#devices.values()) limit.capAt(most);
  }

  /**
   * So many more tasks could begin if there were more threads, when `grant` has given what there is: one that is free now is
   * kept for a device whose next task may be long in coming. The limit of a device that has too few stays unmeasured until
   * they have come, and so is not taken back.
   */
  threadsWanted(): number {
    if (this.#there >= this.#most) return 0;
    const taken = new Map<Device, number>();
    let wanted = 0;
    const want = ({ devices }: Route, atMost: number): void => {
      const room = Math.min(atMost, ...devices.map((device) => roomOf(device) - (taken.get(device) ?? 0)));
      if (room <= 0) return;
      for (const device of devices) taken.set(device, room + (taken.get(device) ?? 0));
      wanted += room;
    };
    // Batches that wait are read ahead: there are more where they come from.
    for (const route of this.#routes) {
      if (this.#hasWaiting(route)) want(route, route.errands ? route.moves.length : this.#most);
    }
    for (const { route, helpersWanted, helpers } of this.#helped) want(this.#route(route), helpersWanted - helpers);
    return Math.min(wanted, this.#most - this.#there);
  }

  /** The route that may take another batch off its list; undefined: none now. */
  open(): number | undefined {
    let best: number | undefined;
    for (const [number, route] of this.#routes.entries()) {
      if (route.exhausted || route.prepares.length > 0) continue;
      if (!this.#hasRoom(route)) continue;
      if (best === undefined || this.#isBefore(route, this.#route(best))) best = number;
    }
    return best;
  }

  /**
   * Folders of the next batch of a route at most. Towards the end batches get smaller, so that no thread has a long one
   * when the others have nothing left.
   */
  batchFolders(number: number): number {
    const route = this.#route(number);
    const tail = Math.ceil(route.foldersLeft / (2 * this.#there));
    return Math.max(1, Math.min(this.#batchFolders, tail));
  }

  /** A batch was taken off the list of a route. */
  begin(number: number, folders: number, messages: number): Ticket {
    const route = this.#route(number);
    route.foldersLeft = Math.max(0, route.foldersLeft - folders);
    const taken = Math.min(messages, route.messagesLeft);
    route.messagesLeft -= taken;
    for (const device of route.devices) {
      device.left -= taken;
      device.wanted += 1;
    }
    route.underWay += 1;
    route.foldersUnderWay += folders;
    this.#underWay += 1;
    return {
      route: number,
      folders,
      messages,
      step: undefined,
      running: false,
      startedMs: 0,
      threadMs: 0,
      planned: false,
      wantsThread: true,
      versions: [],
      helpersWanted: 0,
      helpers: 0,
      helpedUnits: 0,
    };
  }

  /** A task of a device that is on no list. It waits for its `move`; how long that takes says nothing about moves. */
  beginErrand(device: string): Ticket {
    const known = this.#errands.get(device);
    if (known !== undefined) return this.begin(known, 0, 0);
    const number = this.#routes.push(this.#routeOf({ source: device, target: device, folders: 0, messages: 0 }, true));
    this.#errands.set(device, number - 1);
    return this.begin(number - 1, 0, 0);
  }

  /** The list of a route has nothing more. */
  exhausted(number: number): void {
    const route = this.#route(number);
    for (const device of route.devices) device.left -= route.messagesLeft;
    route.messagesLeft = 0;
    route.foldersLeft = 0;
    route.exhausted = true;
  }

  /** The batch waits for a thread. */
  wait(ticket: Ticket, step: Step): void {
    ticket.step = step;
    const route = this.#route(ticket.route);
    (step === 'move' ? route.moves : route.prepares).push(ticket);
    if (step === 'move') route.queuedFolders += ticket.folders;
  }

  /** The batch that a free thread takes now, which is then its own; undefined: no thread is free, or nothing may start. */
  grant(now: number): Ticket | undefined {
    if (!this.hasFreeThread()) return undefined;
    let best: Route | undefined;
    for (const route of this.#routes) {
      if (this.#isStartable(route) && (best === undefined || this.#isBefore(route, best))) best = route;
    }
    if (best === undefined) return undefined;
    const ticket = best.moves.shift() ?? best.prepares.shift();
    if (ticket === undefined) return undefined;
    if (ticket.step === 'move') {
      best.queuedFolders -= ticket.folders;
      this.#forgetPlan(best, ticket);
    } else {
      ticket.planned = true;
      best.plannedMessages += ticket.messages;
    }
    if (ticket.versions.length === 0) ticket.versions.push(...best.devices.map(({ limit }) => limit.version));
    ticket.running = true;
    ticket.startedMs = now;
    this.#active += 1;
    for (const device of best.devices) activeOn(device, 1, now);
    return ticket;
  }

  /** What the batch does with its thread so many others could help with. */
  wantHelp(ticket: Ticket, threads: number): void {
    ticket.helpersWanted = threads;
    if (threads > 0) this.#helped.add(ticket);
    else this.#helped.delete(ticket);
  }

  /** The batch that a free thread helps for a while; asked for when no batch may start. */
  grantHelp(now: number): Help | undefined {
    if (!this.hasFreeThread()) return undefined;
    for (const ticket of this.#helped) {
      const route = this.#route(ticket.route);
      if (ticket.helpers >= ticket.helpersWanted || route.devices.some(isFull)) continue;
      if (this.#there - this.#active <= this.#reservedFrom(route)) continue;
      ticket.helpers += 1;
      this.#active += 1;
      for (const device of route.devices) activeOn(device, 1, now);
      return { ticket, versions: route.devices.map(({ limit }) => limit.version), startedMs: now };
    }
    return undefined;
  }

  /** The helper is free again. What it moved tells how fast its devices are, long before the batch is done. */
  releaseHelp({ ticket, versions, startedMs }: Help, moved: Amount, now: number): void {
    ticket.helpers -= 1;
    ticket.helpedUnits += unitsOf(moved);
    this.#active -= 1;
    for (const [i, device] of this.#route(ticket.route).devices.entries()) {
      activeOn(device, -1, now);
      device.limit.batchDone(versions[i] ?? -1, unitsOf(moved), now - startedMs, now);
    }
  }

  /** The batch gives its thread back. */
  release(ticket: Ticket, now: number): void {
    if (!ticket.running) return;
    const route = this.#route(ticket.route);
    ticket.running = false;
    ticket.threadMs += now - ticket.startedMs;
    this.#active -= 1;
    for (const device of route.devices) activeOn(device, -1, now);
    if (ticket.step === 'move') this.#noMoreThreads(route, ticket);
    ticket.step = undefined;
  }

  /** The batch is handed over, or ended in another way. */
  end(ticket: Ticket, amount: Amount, now: number): void {
    this.release(ticket, now);
    const route = this.#route(ticket.route);
    this.#forgetPlan(route, ticket);
    this.#noMoreThreads(route, ticket);
    route.underWay -= 1;
    route.foldersUnderWay -= ticket.folders;
    this.#underWay -= 1;
    for (const [i, device] of route.devices.entries()) {
      device.estimateDone += ticket.messages;
      device.messages += amount.messages;
      device.bytes += amount.bytes;
      device.limit.batchDone(ticket.versions[i] ?? -1, unitsOf(amount) - ticket.helpedUnits, ticket.threadMs, now);
    }
  }

  hasFreeThread(): boolean {
    return this.#active < this.#there;
  }

  /** No batch is on its way, and no thread has anything in hand. */
  isIdle(): boolean {
    return this.#underWay === 0 && this.#active === 0;
  }

  devices(now: number): DeviceUse[] {
    return [...this.#devices.values()].map((device) => {
      activeOn(device, 0, now);
      const { key, limit, messages, bytes, busyMs } = device;
      return { device: key, limit: limit.found, messages, bytes, busyMs };
    });
  }

  #route(number: number): Route {
    const route = this.#routes[number];
    if (route === undefined) throw new RangeError(`There is no route ${number}.`);
    return route;
  }

  #routeOf({ source, target, folders, messages }: RouteWork, errands: boolean): Route {
    const keys = source === target ? [source] : [source, target];
    const devices = keys.map((key) => this.#device(key));
    for (const device of devices) device.left += messages;
    return {
      devices,
      moves: [],
      prepares: [],
      foldersLeft: folders,
      messagesLeft: messages,
      exhausted: errands,
      errands,
      underWay: 0,
      foldersUnderWay: 0,
      queuedFolders: 0,
      plannedMessages: 0,
    };
  }

  #device(key: string): Device {
    const known = this.#devices.get(key);
    if (known !== undefined) return known;
    const device = newDevice(key, new InFlightLimit(this.#firstLimit, this.#most));
    this.#devices.set(key, device);
    return device;
  }

  /** For another batch on its way. */
  #hasRoom({ devices, underWay, foldersUnderWay }: Route): boolean {
    const atOnce = 2 * Math.min(this.#there, ...devices.map(({ limit }) => limit.value));
    if (underWay < atOnce + BATCHES_AHEAD) return true;
    return underWay < atOnce + SMALL_BATCHES_AHEAD && foldersUnderWay < this.#foldersAhead;
  }

  #isStartable(route: Route): boolean {
    if (route.devices.some(isFull) || !this.#hasWaiting(route)) return false;
    return isIdle(route) || this.#there - this.#active > this.#reservedFrom(route);
  }

  /** A batch that may go on when it has a thread. */
  #hasWaiting(route: Route): boolean {
    return route.moves.length > 0 || (route.prepares.length > 0 && this.#mayPrepare(route));
  }

  /** Threads that other devices want, of their equal share. */
  #reservedFrom(route: Route): number {
    const others = [...this.#devices.values()].filter((device) => device.wanted > 0 || device.left > 0);
    const share = Math.max(1, Math.floor(this.#there / others.length));
    return others.reduce((sum, device) => {
      if (route.devices.includes(device)) return sum;
      const wanted = device.left > 0 ? share : Math.min(share, device.wanted);
      return sum + Math.max(0, Math.min(wanted, device.limit.value) - device.active);
    }, 0);
  }

  #mayPrepare({ queuedFolders, plannedMessages }: Route): boolean {
    return plannedMessages === 0 || (queuedFolders < this.#queueShare && plannedMessages < this.#messagesShare);
  }

  /** See 1 and 2 of the head comment. */
  #isBefore(a: Route, b: Route): boolean {
    if (isIdle(a) !== isIdle(b)) return isIdle(a);
    if (a.errands !== b.errands) return a.errands;
    return this.#urgency(a) > this.#urgency(b);
  }

  #urgency({ devices }: Route): number {
    return Math.max(...devices.map((device) => this.#timeLeft(device) / (device.active + 1)));
  }

  /** Milliseconds, where something is known; else as if it were as fast as the others. */
  #timeLeft(device: Device): number {
    const pace = paceOf(device) ?? this.#meanPace();
    return Math.max(1, device.left) * pace;
  }

  #meanPace(): number {
    const known = [...this.#devices.values()].map(paceOf).filter((pace) => pace !== undefined);
    return known.length === 0 ? 1 : known.reduce((sum, pace) => sum + pace, 0) / known.length;
  }

  #noMoreThreads(route: Route, ticket: Ticket): void {
    if (ticket.wantsThread) for (const device of route.devices) device.wanted -= 1;
    ticket.wantsThread = false;
  }

  #forgetPlan(route: Route, ticket: Ticket): void {
    if (ticket.planned) route.plannedMessages -= ticket.messages;
    ticket.planned = false;
  }
}

function devicesOf(works: readonly RouteWork[]): Set<string> {
  return new Set(works.flatMap(({ source, target }) => [source, target]));
}
