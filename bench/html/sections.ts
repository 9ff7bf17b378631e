/** What a part of a benchmark showed: times, scaling over threads, where the time went, what the disks did. */
import type { Point } from '../measure.js';
import { type PartReport, type Result, YARDSTICKS } from '../report.js';
import type { Spread } from '../statistics.js';
import { barChart, type Line, lineChart, stackChart } from './charts.js';
import { escapeHtml, figure } from './svg.js';
import { pair } from './table.js';

const TONES = { native: 0, portable: 1, floor: 2, competitor: 6, folders: 7 } as const;

function toneOf({ kind, engine }: Result): number {
  return kind === 'messages' ? TONES[engine ?? 'native'] : TONES[kind];
}

export function range({ min, max }: Spread, figures: (value: number) => string = figure): string {
  return min === max ? '' : `${figures(min)} – ${figures(max)}`;
}

/** Rows that compare: the same temperature, the same side of a file system. */
export function timeSections({ results }: PartReport): string {
  const groups = new Map<string, Result[]>();
  for (const result of results) {
    if (result.kind === 'folders') continue;
    const heading = `${result.cold ? 'Cold' : 'Warm'}, ${result.across ? 'partitions on another file system' : 'same file system'}`;
    groups.set(heading, [...(groups.get(heading) ?? []), result]);
  }
  const folders = results.filter(({ kind }) => kind === 'folders');
  const sections = [...groups].map(([heading, own]) => `<h3>${heading}: seconds</h3>${times(own)}`);
  if (folders.length > 0 && groups.size === 0) sections.push(`<h3>upgrade -s: seconds</h3>${times(folders)}`);
  return sections.join('');
}

function times(results: readonly Result[]): string {
  const sorted = [...results].sort((a, b) => a.seconds.median - b.seconds.median);
  const bars = sorted.map((result) => ({ label: shortName(result), ...barOf(result.seconds), tone: toneOf(result) }));
  const yardsticks = YARDSTICKS.filter((one) => results.some(({ ratios }) => one in ratios));
  return pair(barChart('Seconds', 'seconds, median and range of the rounds', bars), {
    heads: ['', 's', 'range', 'synced', 'CPU s', 'msg/s', ...yardsticks.map((one) => `× ${one}`), 'memory'],
    rows: sorted.map((result) => [
      shortName(result),
      figure(result.seconds.median),
      range(result.seconds),
      figure(result.secondsSynced.median),
      figure(result.cpuSeconds.median),
      result.kind === 'folders' ? '' : figure(result.messagesPerSecond),
      ...yardsticks.map((one) => result.ratios[one]?.median.toFixed(2) ?? ''),
      result.kind === 'messages' || result.kind === 'folders' ? `${figure(result.peakAnonymous / 1e6)} MB` : '',
    ]),
  });
}

function barOf({ median, min, max }: Spread) {
  return { value: median, min, max };
}

/** The heading of the group tells the conditions. */
function shortName({ name }: Result): string {
  return name.replace(/, cold|, across/g, '').replace(/^upgrade -m \((.*)\)$/, '$1');
}

/** Over threads: of parts with the same data, every engine and the floor under each of the conditions. */
export function scalingSection(parts: readonly PartReport[]): string {
  const sections = [...new Set(parts.map(({ data }) => data))].map((data) => {
    const results = parts.filter((part) => part.data === data).flatMap((part) => part.results);
    const series = new Map<string, Result[]>();
    for (const result of results) {
      if (result.threads === null || result.name.includes(', -r')) continue;
      const name = `${result.engine ?? 'floor'}${result.cold ? ', cold' : ''}${result.across ? ', across' : ''}`;
      series.set(name, [...(series.get(name) ?? []), result]);
    }
    const several = [...series].filter(([, own]) => new Set(own.map(({ threads }) => threads)).size > 1);
    return several.length === 0 ? '' : scaling(data, several);
  });
  const found = sections.filter((section) => section !== '').join('');
  return found === '' ? '' : `<h2>Scaling over threads</h2>${found}`;
}

function scaling(data: string, series: readonly (readonly [string, readonly Result[]])[]): string {
  const lines = series.map(([name, results]): Line => {
    const points = results.map(({ threads, messagesPerSecond }) => ({ x: threads ?? 0, y: messagesPerSecond }));
    const dashed = name.includes('cold');
    return { label: name, points: points.sort((a, b) => a.x - b.x), tone: toneOf(results[0]!), dashed, marks: true };
  });
  const ticks = [...new Set(series.flatMap(([, results]) => results.map(({ threads }) => threads ?? 0)))].sort(
    (a, b) => a - b,
  );
  const rate = (results: readonly Result[], threads: number) =>
    results.find((result) => result.threads === threads)?.messagesPerSecond;
  const plot = lineChart('Messages a second over threads', { x: 'threads', y: 'messages / s' }, lines, ticks);
  return `<p class="soft">${escapeHtml(data)}</p>${pair(plot, {
    heads: ['messages / s', ...ticks.map((threads) => `${threads} thr.`), 'gain'],
    rows: series.map(([name, results]) => {
      const rates = ticks.map((threads) => rate(results, threads));
      const known = rates.filter((one) => one !== undefined);
      const gain = Math.max(...known) / (known[0] ?? 1);
      return [name, ...rates.map((one) => (one === undefined ? '' : figure(one))), `${gain.toFixed(2)} ×`];
    }),
  })}`;
}

const ORDER = ['scan', 'plan', 'read', 'parse', 'place', 'index', 'sync', 'database'];

/** Seconds of all threads together by what they were spent on. */
export function splitSection(parts: readonly PartReport[]): string {
  const found = parts.flatMap((part) =>
    part.results.flatMap((result) =>
      result.times === null ? [] : [{ name: named(part, result, parts), times: result.times }],
    ),
  );
  if (found.length === 0) return '';
  const told = new Set(found.flatMap(({ times: own }) => Object.keys(own)));
  const keys = [...ORDER.filter((key) => told.has(key)), ...[...told].filter((key) => !ORDER.includes(key))];
  const stacks = found.map(({ name, times: own }) => ({ label: name, values: keys.map((key) => own[key] ?? 0) }));
  return `<h2>Where the time goes</h2><p class="soft">Seconds summed over threads, medians. What waits for a disk counts as
read, sync or database; a thread without work counts nowhere.</p>${pair(
    stackChart('Time by kind of work', 'seconds of all threads', keys, stacks),
    {
      heads: ['', ...keys],
      rows: stacks.map(({ label, values }) => [label, ...values.map(figure)]),
    },
  )}`;
}

function named(part: PartReport, result: Result, parts: readonly PartReport[]): string {
  const name = result.name.replace(/^upgrade -m \((.*)\)$/, '$1');
  return parts.length > 1 ? `${part.name}: ${name}` : name;
}

/** What the disks did while `upgrade -m` ran, of the round nearest to the median. */
export function throughputSection(parts: readonly PartReport[]): string {
  const found = parts.flatMap((part) =>
    part.results
      .filter(({ series }) => series.length > 2)
      .map((result) => ({ name: named(part, result, parts), result })),
  );
  if (found.length === 0) return '';
  const plots = found.map(({ name, result }) => `<h3>${escapeHtml(name)}</h3>${throughput(result)}`);
  const [shown, more] = [plots.slice(0, MOST_SHOWN), plots.slice(MOST_SHOWN)];
  const rest =
    more.length === 0 ? '' : `<details><summary>${more.length} more runs</summary>${more.join('')}</details>`;
  return `<h2>Throughput over time by disk</h2><p class="soft">From the round whose time is nearest to the median. Read and
written are what the block device did; “by calls” is what the process asked for, from memory or disk.</p>${shown.join('')}${rest}`;
}

const MOST_SHOWN = 4;

function throughput({ series, disks, seconds }: Result): string {
  const line = (name: string, tone: number, dashed: boolean, of: (point: Point) => number): Line => ({
    label: name,
    points: rates(series, of),
    tone,
    dashed,
  });
  const lines = [
    line('read by calls', 6, false, (point) => point.process),
    ...disks.flatMap(({ name }, i) => [
      line(`${name} read`, i % 6, false, (point) => point.disks[i]?.read ?? 0),
      line(`${name} written`, i % 6, true, (point) => point.disks[i]?.written ?? 0),
    ]),
  ];
  const plot = lineChart('Throughput over time', { x: 'seconds since the start', y: 'MB / s' }, lines);
  const megabytes = (bytes: number) => figure(bytes / 1e6);
  return pair(plot, {
    heads: ['disk', 'MB read', 'reads', 'MB/s, mean', 'MB written', 'writes', 'MB/s, mean'],
    rows: disks.map(({ name, readBytes, reads, writtenBytes, writes }) => [
      name,
      ...[megabytes(readBytes), figure(reads), megabytes(readBytes / seconds.median)],
      ...[megabytes(writtenBytes), figure(writes), megabytes(writtenBytes / seconds.median)],
    ]),
  });
}

const MOST_POINTS = 80;

/** From bytes so far to megabytes a second. */
export function rates(series: readonly Point[], of: (point: Point) => number): { x: number; y: number }[] {
  const step = Math.max(1, Math.ceil(series.length / MOST_POINTS));
  const chosen = series.filter((_point, i) => i % step === 0);
  return chosen.slice(1).map((point, i) => {
    const before = chosen[i]!;
    const seconds = Math.max(point.seconds - before.seconds, 1e-6);
    return { x: point.seconds, y: Math.max(0, of(point) - of(before)) / seconds / 1e6 };
  });
}
