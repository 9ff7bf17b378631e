/**
 * Calls the addon with hostile values: `node boundary-child.js <addon> <directory> <seed> <first> <calls>`. The number
 * of the call in hand is in `<directory>/call`, so that a process that dies has said where. Exit 3 and one line for an
 * exception that is none of the addon's.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { hasErrno } from '../../../src/errors.js';
import { Chance } from './random.js';

const [file = '', directory = '', seed = '', first = '0', calls = '0'] = process.argv.slice(2);
// Not by `require`, which wants another name of the file.
const loaded = { exports: {} };
process.dlopen(loaded, file);
const addon = loaded.exports as Record<string, (...values: unknown[]) => unknown>;

const source = join(directory, 'INBOX');
const target = join(directory, 'target');
for (const path of [source, target]) fs.mkdirSync(path, { recursive: true });
const NAMES = ['a', 'b', 'c'];
for (const name of NAMES) fs.writeFileSync(join(source, name), `Subject: ${name}\n\nText\n`, { mode: 0o600 });
const sourceFd = fs.openSync(source, 'r');
const targetFd = fs.openSync(target, 'r');
const stats = NAMES.map((name) => fs.lstatSync(join(source, name), { bigint: true }));

function soundTable(): Record<string, unknown> {
  return {
    count: 3,
    uids: Uint32Array.of(1, 2, 3),
    internalDates: Float64Array.of(1, 2, 3),
    flags: Uint32Array.of(0, 1, 2),
    keywordOffsets: Uint32Array.of(0, 0, 1, 2),
    keywordRefs: Uint32Array.of(0, 1),
    names: new Uint8Array(Buffer.from(NAMES.join(''))),
    nameOffsets: Uint32Array.of(0, 1, 2, 3),
    inodes: BigUint64Array.from(stats, ({ ino }) => ino),
    sizes: Float64Array.from(stats, ({ size }) => Number(size)),
    mtimes: BigInt64Array.from(stats, ({ mtimeNs }) => mtimeNs),
    refused: Uint8Array.of(0, 0, 0),
  };
}

function soundFolder(): Record<string, unknown> {
  return {
    sourceFd,
    targetFd,
    singleFd: -1,
    uidvalidity: 1,
    uidnext: 4,
    keywords: ['x', 'y'],
    admin: new Uint8Array(3),
    messages: soundTable(),
    ownerUid: process.getuid?.() ?? 0,
    ownerGid: process.getgid?.() ?? 0,
    setOwner: false,
    takeForeign: false,
    publishWithFailures: true,
    resumed: true,
    progress: new Int32Array(new SharedArrayBuffer(64)),
  };
}

const KINDS = [Uint8Array, Int8Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array] as const;

/** Anything that is not what was asked for, or just not quite. */
function hostile(chance: Chance, sound: unknown): unknown {
  if (ArrayBuffer.isView(sound) && chance.once(2)) return changedColumn(chance, sound);
  const kind = chance.pick(KINDS);
  switch (chance.below(12)) {
    case 0:
      return undefined;
    case 1:
      return chance.pick([null, true, '', 'x'.repeat(70_000), '\ud800', 10n, Symbol('s'), {}, [], [1], () => 1]);
    case 2:
    case 3:
      return chance.pick([-1, -0, NaN, Infinity, 1.5, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 1e300, 3, 0]);
    case 4:
      return new kind(chance.below(40));
    case 5:
      return new kind(new SharedArrayBuffer(kind.BYTES_PER_ELEMENT * chance.below(9)) as never);
    case 6:
      return new kind(new ArrayBuffer(64), 8, chance.below(5));
    case 7:
      return detached(new kind(16));
    case 8:
      return new DataView(new ArrayBuffer(16));
    case 9:
      return Array.from({ length: chance.below(4) }, () => chance.pick(['a', '', 'k'.repeat(300), 5, null]));
    case 10:
      return chance.pick([new BigInt64Array(3), new BigUint64Array(4), new Uint8ClampedArray(9), Buffer.alloc(7)]);
    default:
      return new Proxy({}, { get: () => chance.below(5) });
  }
}

function detached<T extends ArrayBufferView>(view: T): T {
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
  return view;
}

/** The same kind of column with other numbers or another length. */
function changedColumn(chance: Chance, sound: ArrayBufferView): ArrayBufferView {
  const bytes = new Uint8Array(sound.buffer.slice(sound.byteOffset, sound.byteOffset + sound.byteLength));
  for (let i = chance.below(4); i >= 0 && bytes.length > 0; i--) {
    bytes[chance.below(bytes.length)] = chance.pick([0, 1, 2, 0x2e, 0x2f, 0x7f, 0x80, 0xf0, 0xff]);
  }
  const kind = sound.constructor as new (buffer: ArrayBufferLike, offset: number, length: number) => ArrayBufferView;
  const size = sound.byteLength / Math.max(1, (sound as Uint8Array).length);
  const length = Math.max(0, (sound as Uint8Array).length - (chance.once(3) ? chance.below(3) : 0));
  return chance.once(10)
    ? detached(new kind(bytes.buffer, 0, length))
    : new kind(bytes.buffer, 0, Math.min(length, bytes.length / size));
}

/** Replaces up to three fields of the object, or of the table in it. */
function spoil(chance: Chance, object: Record<string, unknown>): Record<string, unknown> {
  for (let changes = chance.below(4); changes > 0; changes--) {
    const table = object.messages as Record<string, unknown> | undefined;
    const isTable = table !== null && typeof table === 'object' && 'uids' in table;
    const place = isTable && chance.once(2) ? table : object;
    const key = chance.pick(Object.keys(place));
    if (key !== undefined) place[key] = hostile(chance, place[key]);
  }
  return object;
}

const counterOf = () => new Int32Array(new SharedArrayBuffer(16));

function call(chance: Chance): unknown {
  switch (chance.below(12)) {
    case 0:
    case 1:
    case 2:
      return addon.migrate!(
        chance.once(12) ? hostile(chance, 0) : spoil(chance, soundFolder()),
        chance.once(12) ? hostile(chance, new Uint8Array(18)) : new Uint8Array(18),
        chance.once(12) ? hostile(chance, new Float64Array(15)) : new Float64Array(15),
      );
    case 3: {
      // None is marked for removal: the files are needed for the next call.
      const input = { sourceFd, messages: soundTable(), remove: new Uint8Array(3) };
      return addon.removeSources!(chance.once(12) ? hostile(chance, 0) : spoil(chance, input));
    }
    case 4:
      return addon.scan!(chance.once(2) ? sourceFd : hostile(chance, 0));
    case 8: {
      const scan = spoil(chance, addon.scan!(sourceFd) as Record<string, unknown>);
      const rules = spoil(chance, { ownerUid: 8, takeForeign: true });
      return addon.planPlain!(scan, hostile(chance, sourceFd), rules, hostile(chance, new Uint8Array(16)));
    }
    case 5:
      return addon[chance.pick(['parseMessage', 'digest', 'crlfForm'])]!(hostile(chance, new Uint8Array(50)));
    case 6:
      return addon[chance.pick(['flock', 'firstByteWriter'])]!(hostile(chance, 0), hostile(chance, 0));
    case 9: {
      const opened = addon.openBelow!(hostile(chance, targetFd), hostile(chance, new Uint8Array(Buffer.from('a/b\0'))));
      if (typeof opened === 'number' && opened >= 0) fs.closeSync(opened);
      return opened;
    }
    case 10: {
      const rules = spoil(chance, { ownerUid: 8, takeForeign: true });
      const ways = [hostile(chance, 'a'), hostile(chance, targetFd), hostile(chance, 'b')];
      const key = hostile(chance, new Uint8Array(16));
      const columns = hostile(chance, new Uint8Array(4096));
      const numbers = new Float64Array(9);
      const wide = hostile(chance, new BigUint64Array(5));
      const found = addon.makeReady!(
        hostile(chance, sourceFd),
        ...ways,
        rules,
        key,
        columns,
        wide,
        hostile(chance, numbers),
      );
      if (found !== null) for (const fd of numbers.subarray(0, 3)) fs.closeSync(fd);
      return found;
    }
    case 7:
      // Disarmed before the next call, which might wait for ever.
      addon.setPace!(hostile(chance, new Int32Array(new SharedArrayBuffer(64))), hostile(chance, counterOf()));
      return addon.setPace!(null);
    default: {
      // Action 1 would kill the process, as it should.
      const action = hostile(chance, 0);
      if (typeof action === 'symbol' || Number(action) === 1) return undefined;
      addon.setFault!(hostile(chance, counterOf()), 2 ** 31 - 1, action, hostile(chance, 0));
      return addon.setFault!(counterOf(), 0, 0, 0);
    }
  }
}

const place = fs.openSync(join(directory, 'call'), 'w');
const number = Buffer.alloc(4);
for (let i = Number(first); i < Number(first) + Number(calls); i++) {
  number.writeUInt32LE(i);
  fs.writeSync(place, number, 0, 4, 0);
  try {
    call(new Chance(`${seed} ${i}`));
  } catch (error) {
    const known =
      error instanceof TypeError ||
      error instanceof RangeError ||
      (error instanceof Error && /^E[A-Z0-9]+$/.test(String((error as NodeJS.ErrnoException).code)));
    if (!known || hasErrno(error, 'ENOMEM')) {
      process.stderr.write(`call ${i}: ${String(error)}\n`);
      process.exit(3);
    }
  }
}
