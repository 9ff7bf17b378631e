/** The page: complete, well-formed, and sufficient to itself. */
import { expect, it } from 'vitest';
import { lineChart } from '../../bench/html/charts.js';
import { pageOf } from '../../bench/html/page.js';
import { rates } from '../../bench/html/sections.js';
import { apart, figure, scale } from '../../bench/html/svg.js';
import { type Part, PLAIN_STORE } from '../../bench/plan.js';
import { type Report, summarize } from '../../bench/report.js';
import { sampleOf } from './sample.js';

const PART: Part = {
  name: 'store <1>',
  store: PLAIN_STORE,
  disks: [0],
  competitors: ['cat'],
  floors: [],
  conditions: [{ cold: false, across: false }],
  migrations: [],
};

const series = [0, 1, 2, 3, 4].map((seconds) => ({
  seconds,
  process: seconds * 2e6,
  disks: [{ read: seconds * 1e6, written: 0 }],
}));

function page(): string {
  const part = PART.name;
  const disks = [{ name: 'sda', reads: 5, readBytes: 4e6, writes: 1, writtenBytes: 1e6 }];
  const times = { read: 1, parse: 0.5, 'a new kind': 0.25 };
  const own = { part, kind: 'messages', times, series, disks } as const;
  const rounds = [1, 2].map((slow) => [
    sampleOf({ part, name: 'cat', kind: 'competitor', seconds: 2 * slow }),
    sampleOf({ ...own, name: 'upgrade -m (native, -t 1)', seconds: 3 * slow, threads: 1 }),
    sampleOf({ ...own, name: 'upgrade -m (native, -t 2)', seconds: 2 * slow, threads: 2 }),
  ]);
  const report: Report = summarize({
    rounds,
    disks: 'once',
    parts: [PART],
    cases: [],
    scaled: false,
    where: 'ext4 (/disk1 & "more")',
    command: 'msg-bench --dir /disk1',
    like: null,
  });
  return pageOf(report);
}

/** Every element that is opened is closed, in order. */
function checkNesting(html: string): void {
  const open: string[] = [];
  for (const [, closing, name = '', rest = ''] of html.matchAll(/<(\/?)([a-z0-9]+)((?:\s[^<>]*)?)>/g)) {
    if (name === 'meta') continue;
    if (closing === '') {
      if (!rest.endsWith('/')) open.push(name);
    } else expect(open.pop()).toBe(name);
  }
  expect(open).toEqual([]);
}

it('needs nothing from elsewhere', () => {
  expect(page()).not.toMatch(/<script|<link|<img|@import|url\(|src=|href=|https?:/);
});

it('is well-formed, and escapes names', () => {
  const html = page();
  checkNesting(html.replace(/^<!doctype html>\n/, '').replace(/<style>.*?<\/style>/s, ''));
  expect(html).toContain('store &lt;1&gt;');
  expect(html).toContain('/disk1 &amp; &quot;more&quot;');
});

it('has no figure that is none', () => {
  expect(page()).not.toMatch(/NaN|Infinity|undefined|null/);
});

it('has a table beside each plot, and states machine, data and commands', () => {
  const html = page();
  const plots = html.match(/<svg/g)!.length;
  expect(plots).toBe(5);
  expect(html.match(/<div class="pair"><svg/g)).toHaveLength(plots);
  expect(html.match(/<\/svg><div class="scroll"><table>/g)).toHaveLength(plots);
  expect(html).toContain('disks made once: rounds after the first');
  for (const text of ['100000 messages', 'Node', 'msg-bench --dir /disk1', 'run upgrade -m (native, -t 2)']) {
    expect(html).toContain(text);
  }
});

it('shows kinds of work that it does not know', () => {
  expect(page()).toContain('a new kind');
});

it('draws for light and for dark', () => {
  expect(page()).toContain('prefers-color-scheme:dark');
});

it('turns bytes so far into megabytes a second', () => {
  expect(rates(series, (point) => point.process)).toEqual([1, 2, 3, 4].map((x) => ({ x, y: 2 })));
});

it('has round ticks that reach the largest value', () => {
  expect(scale(7.3, 0, 100).ticks).toEqual([0, 2, 4, 6, 8]);
  expect(scale(10, 0, 100).ticks).toEqual([0, 2, 4, 6, 8, 10]);
  expect(scale(0, 0, 100).ticks[0]).toBe(0);
});

it('keeps labels apart, in their order, within the plot', () => {
  const placed = apart([50, 51, 52, 299], 14, 20, 300);
  expect(placed[1]! - placed[0]!).toBeGreaterThanOrEqual(14);
  expect(placed[2]! - placed[1]!).toBeGreaterThanOrEqual(14);
  expect(Math.max(...apart([295, 298, 299], 14, 20, 300))).toBeLessThanOrEqual(300);
});

it('writes figures with as many digits as a reader needs', () => {
  expect([0, 0.0514, 1.5, 12.34, 1234.5].map(figure)).toEqual(['0', '0.051', '1.5', '12.3', '1,235']);
});

it('draws a line without points', () => {
  expect(lineChart('empty', { x: 's', y: 'MB' }, [{ label: 'none', points: [], tone: 0 }])).not.toContain('Infinity');
});
