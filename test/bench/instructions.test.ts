/** bench/instructions: what is read from callgrind and strace, and what is said beside the record. */
import { describe, expect, it } from 'vitest';
import { parseCallgrind, parseStrace } from '../../bench/instructions/count.js';
import { compare, type Figures } from '../../bench/instructions/record.js';

function figures(instructions: number, calls: Readonly<Record<string, number>> = { openat2: 400 }): Figures {
  return {
    instructions: { 'move-plain': { instructions, messages: 400, bytes: 3_289_193 } },
    systemCalls: { ext4: { 'move-plain': calls } },
  };
}

describe('parseCallgrind', () => {
  it('takes the total', () => {
    expect(parseCallgrind('# callgrind format\nevents: Ir\nsummary: 42\n\nfn=(1)\n0 42\n\ntotals: 42\n')).toBe(42);
  });

  it('refuses a file in which the function was never reached', () => {
    expect(() => parseCallgrind('events: Ir\nsummary: 0\n')).toThrow('counted nothing');
  });
});

describe('parseStrace', () => {
  const trace = (inner: string) =>
    `7  openat(3, "before") = 4\n7  write(-1, "counted: begin", 14) = -1 EBADF\n${inner}7  write(-1, "counted: end", 12) = -1\n7  close(4) = 0\n`;

  it('counts by name what lies between the marks', () => {
    expect(parseStrace(trace('7  read(3, "x", 1) = 1\n7  read(3, "", 1) = 0\n7  close(3)  = 0\n'))).toEqual({
      close: 1,
      read: 2,
    });
  });

  it('leaves the memory of the heap out, which depends on addresses', () => {
    expect(parseStrace(trace('7  mmap(NULL, 4096) = 0x1\n7  brk(NULL) = 0x1\n'))).toEqual({});
  });

  it('refuses a trace without marks', () => {
    expect(() => parseStrace('7  read(3, "x", 1) = 1\n')).toThrow('no marks');
  });
});

describe('compare', () => {
  it('says nothing of a figure within the tolerance', () => {
    expect(compare(figures(1000), figures(1019), true)).toEqual([]);
    expect(compare(figures(1000), figures(981), true)).toEqual([]);
  });

  it('fails above it', () => {
    const text = '1021 instructions, 2.1 % more than the 1000 on record';
    expect(compare(figures(1000), figures(1021), true)).toEqual([{ subject: 'move-plain', fails: true, text }]);
  });

  it('tells, without failing, that a figure fell', () => {
    const text = '900 instructions, 10.0 % fewer than the 1000 on record';
    expect(compare(figures(1000), figures(900), true)).toEqual([{ subject: 'move-plain', fails: false, text }]);
  });

  it('fails for one system call more, and for one of another name', () => {
    const verdicts = compare(figures(1), figures(1, { openat2: 399, fstat: 1 }), true);
    expect(verdicts).toEqual([
      { subject: 'move-plain on ext4', fails: false, text: 'openat2 399 times, 400 on record' },
      { subject: 'move-plain on ext4', fails: true, text: 'fstat 1 times, 0 on record' },
    ]);
  });

  it('fails for a case that is not on record, and for one that is gone', () => {
    const other: Figures = { instructions: { new: { instructions: 1, messages: 1, bytes: 1 } }, systemCalls: {} };
    expect(compare(figures(1), other, true)).toEqual([
      { subject: 'new', fails: true, text: 'is not on record' },
      { subject: 'move-plain', fails: true, text: 'is on record and was not counted' },
    ]);
  });

  it('does not miss cases that were not asked for', () => {
    expect(compare(figures(1), { instructions: {}, systemCalls: {} }, false)).toEqual([]);
  });

  it('only shows a file system that is not on record', () => {
    const { instructions, systemCalls } = figures(1);
    expect(compare(figures(1), { instructions, systemCalls: { xfs: systemCalls.ext4! } }, true)).toEqual([]);
  });
});
