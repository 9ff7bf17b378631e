import { describe, expect, it } from 'vitest';
import { addKilobytes } from '../../src/engine/progress.js';
import { PROGRESS } from '../../src/engine/types.js';
import { clockText, startProgress } from '../../src/upgrade/progress.js';

const totals = {
  folders: 10,
  messages: 1_000,
  folderCountByPartition: new Map([
    ['primary', 6],
    ['sales', 4],
  ]),
};

describe('startProgress', () => {
  it('tells folders, messages, rate, time left and every partition in one line', () => {
    const counters = new Int32Array(new SharedArrayBuffer(64));
    let nowMs = 0;
    const progress = startProgress(totals, counters, undefined, () => nowMs);
    counters[PROGRESS.messages] = 500;
    counters[PROGRESS.kilobytes] = 4_000;
    progress.folderDone('primary');
    nowMs = 2_000;
    expect(progress.line()).toBe('1/10 folders  500 messages  4.1 MB  2.0 MB/s  0:02 left  primary 1/6  sales 0/4');
    progress.stop();
  });

  it('counts on after 2 and 4 TiB', () => {
    const counters = new Int32Array(new SharedArrayBuffer(64));
    const progress = startProgress(totals, counters, undefined, () => 1_000_000);
    for (let i = 0; i < 5; i++) addKilobytes(counters, 2 ** 30);
    expect(progress.line()).toContain('5497558.1 MB');
    progress.stop();
  });

  it('claims no time left before there is anything to tell from', () => {
    const progress = startProgress(totals, new Int32Array(16), undefined, () => 0);
    expect(progress.line()).toContain('–:–– left');
    progress.stop();
  });

  it('leaves a clean line behind on a terminal', () => {
    const written: string[] = [];
    const output = { isTerminal: true, columns: 80, write: (text: string) => void written.push(text) };
    startProgress(totals, new Int32Array(16), output).stop();
    expect(written.join('')).toBe('\r\u001b[K');
  });
});

describe('clockText', () => {
  it('writes minutes and seconds, and hours when there are any', () => {
    expect([clockText(5), clockText(125), clockText(3_600)]).toEqual(['0:05', '2:05', '1:00:00']);
  });
});
