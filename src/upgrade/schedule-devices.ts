/** What the schedule (schedule.ts) knows of its devices: tasks under way, room for more, and how fast they are. */
import type { InFlightLimit } from './limit.js';
import type { Amount, Device, Route } from './schedule-types.js';

/** What a message costs beside its bytes, as bytes. */
const MESSAGE_COST = 32_768;

/** One that has nothing to do yet. */
export function newDevice(key: string, limit: InFlightLimit): Device {
  return {
    key,
    limit,
    active: 0,
    wanted: 0,
    busyMs: 0,
    changedMs: 0,
    left: 0,
    estimateDone: 0,
    messages: 0,
    bytes: 0,
  };
}

/** So many tasks more are under way, or less. */
export function activeOn(device: Device, change: number, now: number): void {
  if (device.active > 0) device.busyMs += now - device.changedMs;
  device.changedMs = now;
  device.active += change;
  device.limit.activeNow(device.active, now);
}

export function isFull(device: Device): boolean {
  return roomOf(device) <= 0;
}

/** So many more tasks it may be given. */
export function roomOf({ active, limit }: Device): number {
  return limit.value - active;
}

/** One of its devices has nothing to do. */
export function isIdle({ devices }: Route): boolean {
  return devices.some(({ active }) => active === 0);
}

/** Milliseconds for an estimated message; undefined: nothing of the device is done yet. */
export function paceOf({ busyMs, estimateDone }: Device): number | undefined {
  return estimateDone > 0 && busyMs > 0 ? busyMs / estimateDone : undefined;
}

/** What was done, as a number of messages. */
export function unitsOf({ messages, bytes }: Amount): number {
  return messages + bytes / MESSAGE_COST;
}
