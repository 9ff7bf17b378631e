/** Properties of the plan over random damaged folders, made in memory. */
import assert from 'node:assert/strict';
import { describe, expect, test } from 'vitest';
import type { DirectoryScan } from '../../src/engine/types.js';
import type { FolderIndex } from '../../src/source/types.js';
import { planFolder, recordOf } from '../../src/upgrade/plan.js';
import { nameTable } from '../../src/upgrade/plan-names.js';
import { sortByTime } from '../../src/upgrade/plan-order.js';
import { withMigrated } from '../../src/upgrade/plan-removed.js';
import type { FolderPlan, MigrationRecord } from '../../src/upgrade/types.js';
import { namesOf, random } from '../source/nsms3/folder.js';

type Next = (below: number) => number;

const MAX = 4294967295;
const OWNER = 8;

interface Entry {
  readonly name: string;
  readonly inode: bigint;
  readonly mode: number;
  readonly uid: number;
  readonly size: number;
  readonly mtime: bigint;
}

interface Line {
  readonly uid: number;
  readonly name: string;
  readonly keywords: readonly number[];
}

function pack(names: readonly string[]): { names: Uint8Array; nameOffsets: Uint32Array } {
  const bytes = names.map((name) => Buffer.from(name, 'latin1'));
  const nameOffsets = new Uint32Array(names.length + 1);
  bytes.forEach((name, i) => {
    nameOffsets[i + 1] = nameOffsets[i]! + name.length;
  });
  return { names: new Uint8Array(Buffer.concat(bytes)), nameOffsets };
}

function scanOf(entries: readonly Entry[], next: Next): DirectoryScan {
  const shuffled = [...entries];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = next(i + 1);
    [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
  }
  return {
    count: shuffled.length,
    ...pack(shuffled.map((e) => e.name)),
    inodes: BigUint64Array.from(shuffled, (e) => e.inode),
    sizes: Float64Array.from(shuffled, (e) => e.size),
    mtimes: BigInt64Array.from(shuffled, (e) => e.mtime),
    modes: Uint32Array.from(shuffled, (e) => e.mode),
    uids: Uint32Array.from(shuffled, (e) => e.uid),
    nlinks: new Uint32Array(shuffled.length).fill(1),
    errors: [],
  };
}

const KEYWORDS = ['Junk', 'junk', 'JUNK', '$Forwarded', 'a', 'A', 'work'];

function indexOf(header: FolderIndex['header'], lines: readonly Line[]): FolderIndex {
  const keywordOffsets = new Uint32Array(lines.length + 1);
  lines.forEach((line, i) => {
    keywordOffsets[i + 1] = keywordOffsets[i]! + line.keywords.length;
  });
  return {
    header,
    count: lines.length,
    uids: Uint32Array.from(lines, (line) => line.uid),
    internalDates: Float64Array.from(lines, (_, i) => (i % 7 === 0 ? Number.NaN : 900000000 + i)),
    flags: Uint8Array.from(lines, (_, i) => i % 32),
    sizes: Float64Array.from(lines, () => 10),
    lines: Uint32Array.from(lines, (_, i) => i + 2),
    ...pack(lines.map((line) => line.name)),
    keywords: KEYWORDS,
    keywordOffsets,
    keywordRefs: Uint32Array.from(lines.flatMap((line) => line.keywords)),
    highestUid: lines.reduce((high, line) => Math.max(high, line.uid), 0),
    warnings: [],
  };
}

const MODES = [0o100600, 0o100600, 0o100600, 0o100602, 0o120777, 0o010600, 0o040700, 0o060600, 0o140700];

function randomEntry(next: Next, name: string): Entry {
  return {
    name,
    inode: BigInt(next(1 << 30)) * 1000003n,
    mode: MODES[next(MODES.length)]!,
    uid: next(10) === 0 ? 0 : OWNER,
    size: next(3) * 10,
    mtime: BigInt(next(4) - 1) * 1_000_000_000n + BigInt(next(2)),
  };
}

function randomFolder(next: Next): { entries: Entry[]; lines: Line[]; header: FolderIndex['header'] } {
  const pool = Array.from({ length: next(30) }, (_, i) => `${'abc'[next(3)]}${i}`);
  const entries = pool.filter(() => next(4) > 0).map((name) => randomEntry(next, name));
  const high = next(15) === 0 ? MAX - 10 : 1;
  const lines = pool
    .concat(pool.filter(() => next(6) === 0))
    .filter(() => next(4) > 0)
    .map((name, i) => ({
      uid: Math.min(MAX, high + (next(5) === 0 ? next(20) : i)),
      name: next(20) === 0 ? `${name}\r` : name,
      keywords: KEYWORDS.map((_, k) => k).filter(() => next(4) === 0),
    }));
  const header =
    next(3) === 0 ? undefined : { uidvalidity: 1 + next(1000), uidnext: next(20) === 0 ? MAX : 1 + next(60) };
  return { entries, lines, header };
}

/** With node:assert: `expect` costs more than all plans together when it is called a million times. */
function check(made: FolderPlan, entries: readonly Entry[], lines: readonly Line[]): void {
  const { messages: table } = made;
  const names = namesOf(table);
  // Ascending and unique, below uidnext.
  let last = 0;
  for (const uid of table.uids) {
    assert(uid > last, 'uids ascend from 1');
    last = uid;
  }
  assert(made.uidnext > last && made.uidnext <= MAX, 'uidnext is above all uids');
  assert(made.uidvalidity >= 1 && made.uidvalidity <= MAX);
  // Every file is in the plan once, sub-folders are not.
  const listed = new Set(lines.flatMap((line) => [line.name, line.name.replace(/\r$/, '')]));
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  const isDirectory = (entry: Entry) => (entry.mode & 0o170000) === 0o040000;
  assert.equal(new Set(names).size, names.length, 'no file twice');
  const planned = new Set(names);
  for (const entry of entries) {
    if (!isDirectory(entry)) assert(planned.has(entry.name), 'every file is in the plan');
    else if (!listed.has(entry.name)) assert(!planned.has(entry.name), 'sub-folders are not');
  }
  // Exactly the files that may be taken are not refused, and the columns are those of the file.
  names.forEach((name, i) => {
    const entry = byName.get(name)!;
    const good = (entry.mode & 0o170000) === 0o100000 && entry.uid === OWNER && (entry.mode & 2) === 0;
    assert.equal(table.refused[i] === 0, good);
    assert(table.inodes[i] === entry.inode && table.sizes[i] === entry.size && table.mtimes[i] === entry.mtime);
  });
  // Keywords: no two alike without case, all used, references ascend.
  assert.equal(new Set(made.keywords.map((k) => k.toLowerCase())).size, made.keywords.length);
  assert.equal(new Set(table.keywordRefs).size, made.keywords.length);
  for (let i = 0; i < table.count; i++) {
    const refs = table.keywordRefs.subarray(table.keywordOffsets[i], table.keywordOffsets[i + 1]);
    for (let r = 1; r < refs.length; r++) assert(refs[r]! > refs[r - 1]!);
  }
}

describe('random damaged folders', () => {
  test('800 of them: complete, unique, the same in any order, the same again with their own record', () => {
    const next = random(20261124);
    for (let round = 0; round < 800; round++) {
      const { entries, lines, header } = randomFolder(next);
      const chosenUidvalidity = 1 + next(1000);
      const planOf = (previous: MigrationRecord | undefined, now: number, chosen = chosenUidvalidity) =>
        planFolder({
          index: indexOf(header, lines),
          scan: scanOf(entries, next),
          previous,
          chosenUidvalidity: chosen,
          ownerUid: OWNER,
          takeForeign: false,
          now,
        });
      const made = planOf(undefined, 5000);
      check(made, entries, lines);
      assert.deepEqual(planOf(undefined, 5000), made);
      const again = planOf(recordOf(made), 6000, made.uidvalidity);
      assert.deepEqual({ ...again, warnings: [] }, { ...made, warnings: [] });
    }
  });

  test('300 of them, changed between attempts: no recorded file is renumbered, uidnext never falls', () => {
    const next = random(4711);
    for (let round = 0; round < 300; round++) {
      let { entries, lines, header } = randomFolder(next);
      let previous: MigrationRecord | undefined;
      for (let attempt = 0; attempt < 5; attempt++) {
        const made = planFolder({
          index: indexOf(header, lines),
          scan: scanOf(entries, next),
          previous,
          chosenUidvalidity: previous?.uidvalidity ?? 77,
          ownerUid: OWNER,
          takeForeign: false,
          now: 5000 + attempt,
        });
        check(made, entries, lines);
        if (made.uidvalidity === previous?.uidvalidity) {
          assert(made.uidnext >= previous.uidnext, 'uidnext never falls');
          const before = identities(previous);
          for (const [file, uid] of identities(recordOf(made))) assert.equal(uid, before.get(file) ?? uid);
        }
        previous = recordOf(made);
        // Files come and go, lines and header come and go.
        entries = entries.filter(() => next(8) > 0);
        const fresh = Array.from({ length: next(4) }, (_, i) => `n${round}-${attempt}-${i}`);
        entries.push(...fresh.map((name) => randomEntry(next, name)));
        lines = lines.filter(() => next(8) > 0);
        lines.push(...fresh.filter(() => next(2) > 0).map((name) => ({ uid: 1 + next(80), name, keywords: [] })));
        if (next(5) === 0) header = undefined;
      }
    }
  });
});

test('300 retries are planned the same whether `-r` has taken what is in 4.x or not, warnings included', () => {
  const next = random(99);
  for (let round = 0; round < 300; round++) {
    const { entries, lines, header } = randomFolder(next);
    const index = indexOf(header, lines);
    const planOf = (scan: DirectoryScan, previous?: MigrationRecord): FolderPlan =>
      planFolder({
        index,
        scan,
        previous,
        chosenUidvalidity: 77,
        ownerUid: OWNER,
        takeForeign: false,
        now: 5000,
      });
    const { messages } = planOf(scanOf(entries, next));
    const record = recordOf(planOf(scanOf(entries, next)));
    const names = namesOf(record);
    const failed = record.uids.filter((_uid, i) => messages.refused[i] !== 0 || next(3) === 0);
    const gone = new Set(names.filter((_name, i) => !failed.includes(record.uids[i]!) && next(4) > 0));
    // Some of what failed has been repaired: another file of the same name.
    const isFailed = new Set(names.filter((_name, i) => failed.includes(record.uids[i]!)));
    const now = entries.map((entry) =>
      isFailed.has(entry.name) && next(2) === 0
        ? { ...entry, inode: 1n, mode: 0o100600, uid: OWNER, size: 10, mtime: 7n }
        : entry,
    );
    const left = now.filter(({ name }) => !gone.has(name));
    const before = planOf(scanOf(now, next), record);
    assert.deepEqual(planOf(withMigrated(scanOf(left, next), record, failed, OWNER), record), before);
  }
});

/** uid by what makes a file the same: name, inode, size, modification time. */
function identities(record: MigrationRecord): Map<string, number> {
  return new Map(
    namesOf(record).map((name, i) => [
      `${name} ${record.inodes[i]} ${record.sizes[i]} ${record.mtimes[i]}`,
      record.uids[i]!,
    ]),
  );
}

test('many files without a line have the same order as few: time in nanoseconds, then name bytes', () => {
  const next = random(5);
  const entries = Array.from({ length: 9000 }, (_, i) => ({
    ...randomEntry(next, `${(i * 7919) % 9000}`),
    mtime: BigInt(next(3) - 1) * 10_000_000_000_000_000n + BigInt(next(40)) * 1_000_000_000n,
  }));
  const scan = scanOf(entries, next);
  const order = (files: Uint32Array) => [...sortByTime(files, scan.mtimes, scan)];
  const all = Uint32Array.from({ length: scan.count }, (_, i) => i);
  const few = all.filter((i) => i % 3 === 0);
  const sorted = order(all);
  assert.deepEqual(
    sorted.filter((i) => i % 3 === 0),
    order(few),
  );
  const names = namesOf(scan);
  for (let i = 1; i < sorted.length; i++) {
    const [a, b] = [sorted[i - 1]!, sorted[i]!];
    assert(scan.mtimes[a]! < scan.mtimes[b]! || (scan.mtimes[a] === scan.mtimes[b] && names[a]! < names[b]!));
  }
});

describe('the name table', () => {
  test('finds every name and nothing else', () => {
    const next = random(1);
    const names = [
      ...new Set(
        Array.from({ length: 5000 }, () =>
          String.fromCharCode(...Array.from({ length: 1 + next(9) }, () => 97 + next(3))),
        ),
      ),
    ];
    const packed = { count: names.length, ...pack(names) };
    const table = nameTable(packed);
    names.forEach((name, i) => {
      const bytes = Buffer.from(`<${name}>`);
      expect(table.find(bytes, 1, bytes.length - 1)).toBe(i);
      expect(table.find(bytes, 0, bytes.length)).toBe(-1);
    });
    expect(nameTable({ count: 0, ...pack([]) }).find(Buffer.from('a'), 0, 1)).toBe(-1);
  });

  test('names that differ in one bit at any place are different', () => {
    const name = Buffer.from('0123456789abcdefghijklmnopqrstuvwxyz');
    for (let length = 1; length <= name.length; length++) {
      const table = nameTable({ count: 1, names: name, nameOffsets: Uint32Array.of(0, length) });
      expect(table.find(name, 0, length)).toBe(0);
      for (let bit = 0; bit < length * 8; bit++) {
        const other = Buffer.from(name.subarray(0, length));
        other[bit >> 3]! ^= 1 << (bit & 7);
        expect(table.find(other, 0, length)).toBe(-1);
      }
    }
  });
});

test('a hundred thousand messages are planned in linear time', () => {
  const cpu = (count: number): number => {
    const entries = Array.from({ length: count }, (_, i) => randomEntry(() => 0, `${i}.msg`));
    const lines = entries.map(({ name }, i) => ({ uid: count - i, name, keywords: i % 5 === 0 ? [0, 3] : [] }));
    const input = {
      index: indexOf({ uidvalidity: 1, uidnext: 1 }, lines),
      scan: scanOf(entries, () => 0),
      previous: undefined,
      chosenUidvalidity: 1,
      ownerUid: OWNER,
      takeForeign: true,
      now: 1,
    };
    planFolder(input);
    const before = process.cpuUsage();
    expect(planFolder(input).messages.count).toBe(count);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  };
  const small = cpu(10_000);
  expect(cpu(100_000)).toBeLessThan(Math.max(small, 0.02) * 10 * 5);
});
