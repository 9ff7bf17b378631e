/** The kinds of plots. Colours are classes of the style sheet: c0 … c7. Every axis has a name and a unit. */
import { apart, element, escapeHtml, figure, label, scale, svg } from './svg.js';

const WIDTH = 640;
const GAP = 8;
const AXIS = 44;

export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  /** Colour. */
  readonly tone: number;
}

/** Horizontal bars: the median, its figure, and a whisker from the lowest to the highest. */
export function barChart(title: string, axis: string, bars: readonly Bar[]): string {
  const row = 26;
  const left = labelWidth(bars.map((bar) => bar.label));
  const right = WIDTH - 64;
  const bottom = bars.length * row + GAP;
  const x = scale(Math.max(...bars.map((bar) => bar.max)), left, right);
  const content = bars.map((bar, i) => {
    const top = i * row + GAP;
    const middle = top + row / 2 - 1;
    const end = x.at(bar.value);
    const whisker = `M${x.at(bar.min)} ${middle}H${x.at(bar.max)}M${x.at(bar.min)} ${middle - 4}v8M${x.at(bar.max)} ${middle - 4}v8`;
    return [
      label(left - GAP, middle + 4, bar.label, 'end'),
      element('rect', { x: left, y: top + 3, width: Math.max(1, end - left), height: row - 8, class: `c${bar.tone}` }),
      bar.max > bar.min ? element('path', { d: whisker, class: 'whisker' }) : '',
      label(Math.max(end, x.at(bar.max)) + 6, middle + 4, figure(bar.value), 'start', 'strong'),
    ].join('');
  });
  return svg(WIDTH, bottom + AXIS, title, verticalGrid(x, GAP, bottom, axis) + content.join(''));
}

export interface Stack {
  readonly label: string;
  /** By the order of the keys. */
  readonly values: readonly number[];
}

/** Horizontal bars of several pieces, with a legend in the order of the pieces. */
export function stackChart(title: string, axis: string, keys: readonly string[], stacks: readonly Stack[]): string {
  const row = 30;
  const left = labelWidth(stacks.map((stack) => stack.label));
  const totals = stacks.map(({ values }) => values.reduce((sum, value) => sum + value, 0));
  const x = scale(Math.max(...totals), left, WIDTH - 64);
  const legend = legendOf(keys);
  const top = legend.height + GAP;
  const bottom = top + stacks.length * row;
  const content = stacks.map(({ label: name, values }, i) => {
    const y = top + i * row + 3;
    let from = 0;
    const pieces = values.map((value, key) => {
      const start = x.at(from);
      from += value;
      const width = x.at(from) - start;
      const text = keys[key]!;
      const inside = width > text.length * 7 + 10 ? label(start + width / 2, y + 16, text, 'middle', 'inside') : '';
      const tip = element('title', {}, escapeHtml(`${text}: ${figure(value)}`));
      return element('rect', { x: start, y, width, height: row - 8, class: `c${key % 8}` }, tip) + inside;
    });
    const total = label(x.at(from) + 6, y + 16, figure(totals[i]!), 'start', 'strong');
    return label(left - GAP, y + 16, name, 'end') + pieces.join('') + total;
  });
  return svg(WIDTH, bottom + AXIS, title, legend.content + verticalGrid(x, top, bottom, axis) + content.join(''));
}

export interface Line {
  readonly label: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
  readonly tone: number;
  readonly dashed?: boolean;
  /** Marks at the points: they are measurements, not samples. */
  readonly marks?: boolean;
}

/** Lines with their names at their ends. `ticks`: where the x axis has its marks, instead of round values. */
export function lineChart(
  title: string,
  axes: { readonly x: string; readonly y: string },
  lines: readonly Line[],
  ticks?: readonly number[],
): string {
  const height = 300;
  const left = 62;
  const right = WIDTH - Math.max(...lines.map((line) => line.label.length)) * 6.6 - 14;
  const [top, bottom] = [26, height - AXIS];
  const all = lines.flatMap(({ points }) => points);
  const x = scale(Math.max(...all.map((point) => point.x)), left, right, 6);
  const y = scale(Math.max(...all.map((point) => point.y)), bottom, top);
  const ends = lines.map(({ points }) => y.at(points.at(-1)?.y ?? 0));
  const heights = apart(ends, 14, top, bottom);
  const grid = y.ticks.map((tick) => {
    const at = y.at(tick);
    return (
      element('path', { d: `M${left} ${at}H${right}`, class: 'grid' }) + label(left - GAP, at + 4, figure(tick), 'end')
    );
  });
  const marks = (ticks ?? x.ticks).map((tick) => label(x.at(tick), bottom + 16, figure(tick), 'middle'));
  const curves = lines.map(({ points, tone, dashed, marks: marked, label: name }, i) => {
    const d = points
      .map((point, n) => `${n === 0 ? 'M' : 'L'}${round(x.at(point.x))} ${round(y.at(point.y))}`)
      .join('');
    const dots = marked
      ? points.map((point) => element('circle', { cx: x.at(point.x), cy: y.at(point.y), r: 3.5, class: `c${tone}` }))
      : [];
    const end = points.at(-1);
    const tail =
      end === undefined ? '' : `M${round(x.at(end.x))} ${round(ends[i]!)}L${right + 4} ${round(heights[i]!)}`;
    return (
      element('path', { d, class: `line s${tone}${dashed ? ' dashed' : ''}` }) +
      element('path', { d: tail, class: 'leader' }) +
      dots.join('') +
      label(right + GAP, heights[i]! + 4, name, 'start', `t${tone}`)
    );
  });
  const names =
    label(left, 14, axes.y, 'start', 'axis') + label((left + right) / 2, height - 8, axes.x, 'middle', 'axis');
  const base = element('path', { d: `M${left} ${bottom}H${right}`, class: 'base' });
  return svg(WIDTH, height, title, grid.join('') + base + marks.join('') + curves.join('') + names);
}

export interface Column {
  readonly label: string;
  readonly value: number;
}

/** Columns of a histogram; every second or third name where they are many. */
export function columnChart(
  title: string,
  axes: { readonly x: string; readonly y: string },
  columns: readonly Column[],
): string {
  const height = 260;
  const [left, right, top, bottom] = [62, WIDTH - 10, 26, height - AXIS];
  const y = scale(Math.max(...columns.map(({ value }) => value)), bottom, top);
  const width = (right - left) / columns.length;
  const every = Math.ceil(columns.length / 10);
  const grid = y.ticks.map((tick) => {
    const at = y.at(tick);
    return (
      element('path', { d: `M${left} ${at}H${right}`, class: 'grid' }) + label(left - GAP, at + 4, figure(tick), 'end')
    );
  });
  const content = columns.map(({ label: name, value }, i) => {
    const x = left + i * width;
    const tip = element('title', {}, escapeHtml(`${name}: ${figure(value)}`));
    const box = { x: x + 1, y: y.at(value), width: Math.max(1, width - 2), height: bottom - y.at(value), class: 'c0' };
    return element('rect', box, tip) + (i % every === 0 ? label(x + width / 2, bottom + 16, name, 'middle') : '');
  });
  const names =
    label(left, 14, axes.y, 'start', 'axis') + label((left + right) / 2, height - 8, axes.x, 'middle', 'axis');
  return svg(WIDTH, height, title, grid.join('') + content.join('') + names);
}

function verticalGrid(x: ReturnType<typeof scale>, top: number, bottom: number, axis: string): string {
  const lines = x.ticks.map((tick) => {
    const line = element('path', { d: `M${round(x.at(tick))} ${top}V${bottom}`, class: tick === 0 ? 'base' : 'grid' });
    return line + label(x.at(tick), bottom + 16, figure(tick), 'middle');
  });
  return lines.join('') + label((x.at(0) + x.at(x.max)) / 2, bottom + 36, axis, 'middle', 'axis');
}

/** Room for names at the left, at the size of their type. */
function labelWidth(names: readonly string[]): number {
  return Math.min(270, Math.max(60, ...names.map((name) => name.length * 6.7)) + GAP * 2);
}

function legendOf(keys: readonly string[]): { content: string; height: number } {
  let [x, y] = [4, 14];
  const content = keys.map((key, i) => {
    const width = key.length * 7 + 30;
    if (x + width > WIDTH) [x, y] = [4, y + 20];
    const item =
      element('rect', { x, y: y - 10, width: 12, height: 12, class: `c${i % 8}` }) + label(x + 17, y, key, 'start');
    x += width;
    return item;
  });
  return { content: content.join(''), height: y + 8 };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
