/**
 * The plan of the native engine for folders with nothing wrong is the one that plan.ts makes, and for all others there
 * is none.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, type TestContext, test } from 'vitest';
import { nativeEngine } from '../../src/engine/native/engine.js';
import type { FolderEngine } from '../../src/engine/types.js';
import { loadAddon, type NativeAddon } from '../../src/fs/addon.js';
import { nsms3 } from '../../src/source/nsms3/source.js';
import { planPlain } from '../../src/upgrade/plan-plain.js';
import type { FolderPlan } from '../../src/upgrade/types.js';
import { random, type TestFolder, testFolder } from '../source/nsms3/folder.js';
import { OWNER, type PlanOptions, planOf } from './plan-support.js';

const HEADER = 'NSMB 3 77 900';
const DATE = 800_000_000;

let addon: NativeAddon;
let engine: FolderEngine;
let folder: TestFolder;

beforeEach((ctx: TestContext) => {
  folder = testFolder();
  const built = loadAddon();
  if (built === undefined) {
    console.log(`skipped: ${ctx.task.name}: the native addon is not built`);
    return ctx.skip('the native addon is not built');
  }
  addon = built;
  engine = nativeEngine(addon);
});
afterEach(() => folder.remove());

/** The plain plan of `folder`, or undefined. */
function plainOf({ chosen = 500, final = false, owner = OWNER, takeForeign = false }: PlanOptions = {}) {
  const scan = engine.scan(folder.dir.fd);
  const task = { missing: false, previous: null, failed: null, uidvalidity: chosen, uidvalidityChosen: final };
  return planPlain(engine, nsms3, { ownerUid: owner, takeForeign }, task, folder.dir, scan);
}

function decided(options: PlanOptions = {}): FolderPlan {
  return planOf(folder, { ...options, scan: engine.scan(folder.dir.fd) });
}

/** Messages `m1`, `m2` … with lines. */
function lines(count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    folder.message(`m${i + 1}`, { size: 10 + i });
    return `${10 * (i + 1)} ${DATE + i} - ${10 + i} m${i + 1}`;
  });
}

describe('a plain folder has the plan of plan.ts:', () => {
  const samePlan = (options: PlanOptions = {}) => {
    const plain = plainOf(options);
    expect(plain).toEqual(decided(options));
  };

  test('messages in order', () => {
    folder.index(HEADER, ...lines(5));
    samePlan();
  });

  test('no message', () => {
    folder.index(HEADER);
    samePlan();
  });

  test('a sub-folder beside them', () => {
    folder.index(HEADER, ...lines(2));
    mkdirSync(`${folder.path}/sub`);
    samePlan();
  });

  test('files in another order than their lines', () => {
    const [a, b, c, d] = lines(4);
    const numbered = [d, b, a, c].map((line, i) => `${i + 1} ${line?.slice(3)}`);
    folder.index(HEADER, ...numbered);
    samePlan();
  });

  test('every flag, none, and keywords that differ in case', () => {
    const flags = ['SAFDTR', '-', '', 'RR', 'S,Junk,junk', ',$Forwarded,JUNK,a', 'F,A,$forwarded'];
    const of = lines(flags.length).map((line, i) => line.replace(' - ', ` ${flags[i]} `));
    folder.index(HEADER, ...of);
    samePlan();
  });

  test('a uidnext below the highest uid, and one above', () => {
    folder.index('NSMB 3 77 2', ...lines(3));
    samePlan();
    folder.index('NSMB 3 77 4294967295', ...lines(3));
    samePlan();
  });

  test('a uidvalidity below and above the recorded one, which counts where -s chose it', () => {
    folder.index(HEADER, ...lines(1));
    for (const chosen of [1, 76, 77, 78]) {
      samePlan({ chosen });
      samePlan({ chosen, final: true });
    }
  });

  test('names of any bytes', () => {
    const names = ['a b  c', '\xff\xfe', 'x'.repeat(255), ' ', '-', '1 2 - 3 m', '~\t'];
    const of = names.map((name, i) => {
      folder.message(Buffer.from(name, 'latin1'));
      return `${i + 1} ${DATE} S 10 ${name}`;
    });
    folder.index(HEADER, ...of);
    samePlan();
  });

  test('an index of many reads, its lines cut at their ends', () => {
    const count = 3000;
    const of = Array.from({ length: count }, (_, i) => {
      const name = `${i}`.padEnd(200, 'x');
      folder.message(name, { size: 1 });
      return `${i + 1} ${DATE} S,${'k'.repeat(i % 50)}k 1 ${name}`;
    });
    folder.index(HEADER, ...of);
    samePlan();
  });

  test('files of others, when they are taken', () => {
    folder.index(HEADER, ...lines(2));
    samePlan({ owner: OWNER + 1, takeForeign: true });
  });
});

describe('a folder has no plain plan', () => {
  const [FIRST, SECOND] = [`1 ${DATE} S 10 a`, `2 ${DATE} S 10 b`];
  /** What is wrong, and the lines of an index of `a` and `b`; each is otherwise plain. */
  const WRONG: readonly (readonly [what: string, ...lines: string[]])[] = [
    ['without a header', FIRST, SECOND],
    ['with a header of another version', 'NSMB 4 77 900', FIRST, SECOND],
    ['with a uidvalidity of 0', 'NSMB 3 0 900', FIRST, SECOND],
    ['with a uidnext of more than 32 bits', 'NSMB 3 77 4294967296', FIRST, SECOND],
    ['with a CR behind its header', `${HEADER}\r`, FIRST, SECOND],
    ['with a line without a file', HEADER, FIRST, SECOND, `3 ${DATE} S 10 c`],
    ['with a file without a line', HEADER, FIRST],
    ['with two lines of a file', HEADER, FIRST, SECOND, `3 ${DATE} S 10 a`],
    ['with a repeated uid', HEADER, FIRST, `1 ${DATE} S 10 b`],
    ['with uids that descend', HEADER, SECOND, FIRST],
    ['with a uid of 0', HEADER, `0 ${DATE} S 10 a`, SECOND],
    ['with the highest uid', HEADER, FIRST, `4294967295 ${DATE} S 10 b`],
    ['with another size', HEADER, FIRST, `2 ${DATE} S 11 b`],
    ['with a size of too many digits', HEADER, FIRST, `2 ${DATE} S 0000000000000010 b`],
    ['with a date that is none', HEADER, FIRST, '2 x S 10 b'],
    ['with a date after the year 9999', HEADER, FIRST, '2 253402300800 S 10 b'],
    ['with an unknown flag', HEADER, FIRST, `2 ${DATE} X 10 b`],
    ['with a flag twice', HEADER, FIRST, `2 ${DATE} SS 10 b`],
    ['with a keyword that is no atom', HEADER, FIRST, `2 ${DATE} S,a(b 10 b`],
    ['with an empty keyword', HEADER, FIRST, `2 ${DATE} S, 10 b`],
    ['with an empty line', HEADER, FIRST, '', SECOND],
    ['with a CR behind a name', HEADER, FIRST, `${SECOND}\r`],
  ];
  test.each(WRONG)('%s', (_what, ...index) => {
    folder.message('a');
    folder.message('b');
    folder.index(HEADER, FIRST, SECOND);
    expect(plainOf()).toBeDefined();
    folder.index(...index);
    expect(plainOf()).toBeUndefined();
  });

  test('with a last line that has no end', () => {
    folder.message('a');
    folder.write('.mailbox', `${HEADER}\n${FIRST}`);
    expect(plainOf()).toBeUndefined();
  });

  test('with an empty message', () => {
    folder.message('a', { size: 0 });
    folder.index(HEADER, `1 ${DATE} S 0 a`);
    expect(plainOf()).toBeUndefined();
  });

  test('with more keywords than it counts', () => {
    folder.message('a');
    const keywords = Array.from({ length: 513 }, (_, i) => `,k${i}`);
    folder.index(HEADER, `1 ${DATE} ${keywords.slice(1).join('')} 10 a`);
    expect(plainOf()).toEqual(decided());
    folder.index(HEADER, `1 ${DATE} ${keywords.join('')} 10 a`);
    expect(plainOf()).toBeUndefined();
  });

  test('without an index', () => {
    folder.message('a');
    expect(plainOf()).toBeUndefined();
  });

  test('with a file of another account, or that others may write to', () => {
    folder.message('a');
    folder.index(HEADER, FIRST);
    expect(plainOf({ owner: OWNER + 1 })).toBeUndefined();
    folder.message('a', { mode: 0o602 });
    expect(plainOf()).toBeUndefined();
  });

  test('with a directory where a message is expected', () => {
    mkdirSync(`${folder.path}/a`);
    folder.index(HEADER, FIRST);
    expect(plainOf()).toBeUndefined();
  });
});

test('of a folder with random damage the plain plan is that of plan.ts, or none', () => {
  let plain = 0;
  const rounds = 300;
  for (let round = 0; round < rounds; round++) {
    const next = random(round);
    folder.remove();
    folder = testFolder();
    const of = [HEADER, ...lines(next(6))];
    const text = Buffer.from(of.map((line) => `${line}\n`).join(''), 'latin1');
    for (let k = next(3); k > 0; k--) text[next(text.length)] = Buffer.from(' \n,-0159SAam/.\r\0')[next(16)] ?? 0;
    folder.write('.mailbox', text);
    const found = plainOf();
    if (found === undefined) continue;
    plain += 1;
    expect(found, `round ${round}`).toEqual(decided());
  }
  expect(plain).toBeGreaterThan(rounds / 5);
  expect(plain).toBeLessThan(rounds);
});

test('an argument of another kind is an error', () => {
  const scan = engine.scan(folder.dir.fd);
  folder.index(HEADER);
  const fd = openSync(`${folder.path}/.mailbox`, 'r');
  try {
    const rules = { ownerUid: OWNER, takeForeign: false };
    const wrong = [
      { ...scan, sizes: new Float64Array(1) },
      { ...scan, nameOffsets: Uint32Array.of(7) },
      { ...scan, names: 'x' },
    ];
    for (const bad of wrong) {
      expect(() => addon.planPlain(bad as never, fd, rules, new Uint8Array(16))).toThrow(TypeError);
    }
    expect(() => addon.planPlain(scan, fd, rules, new Uint8Array(15))).toThrow('16 bytes');
    expect(() => addon.planPlain(scan, fd, {} as never, new Uint8Array(16))).toThrow('ownerUid');
  } finally {
    closeSync(fd);
  }
});
