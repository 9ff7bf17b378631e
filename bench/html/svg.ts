/** Building blocks of the plots: escaping, scales with round ticks, labels that do not lie on each other. */

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function element(name: string, attributes: Readonly<Record<string, string | number>>, content = ''): string {
  const list = Object.entries(attributes).map(([key, value]) => ` ${key}="${escapeHtml(shortest(value))}"`);
  return `<${name}${list.join('')}>${content}</${name}>`;
}

/** A tenth of a pixel is enough. */
function shortest(value: string | number): string {
  return typeof value === 'string' ? value : String(Math.round(value * 10) / 10);
}

export function label(
  x: number,
  y: number,
  text: string,
  anchor: 'start' | 'middle' | 'end' = 'start',
  kind = '',
): string {
  return element('text', { x, y, 'text-anchor': anchor, class: kind }, escapeHtml(text));
}

export interface Scale {
  readonly ticks: readonly number[];
  readonly max: number;
  at(value: number): number;
}

/** From 0 to at least `most`, in steps of 1, 2 or 5 of some power of ten. */
export function scale(most: number, from: number, to: number, steps = 5): Scale {
  const rough = Math.max(most, 1e-9) / steps;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10) * power;
  const count = Math.max(1, Math.ceil((most / step) * 0.999));
  const max = count * step;
  return {
    ticks: Array.from({ length: count + 1 }, (_, i) => i * step),
    max,
    at: (value) => from + (value / max) * (to - from),
  };
}

/** As many digits as a reader needs: 0.05, 1.5, 12, 1,200. */
export function figure(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 100) return Math.round(value).toLocaleString('en-US');
  if (size >= 10) return value.toFixed(1).replace(/\.0$/, '');
  return value
    .toFixed(size >= 1 ? 2 : 3)
    .replace(/0+$/, '')
    .replace(/\.$/, '');
}

/** Heights for labels that want these ones: at least `distance` apart, in their order, none above `top`. */
export function apart(wanted: readonly number[], distance: number, top: number, bottom: number): number[] {
  const order = wanted.map((y, i) => ({ y, i })).sort((a, b) => a.y - b.y);
  let last = top - distance;
  for (const one of order) {
    one.y = Math.max(one.y, last + distance);
    last = one.y;
  }
  let next = bottom + distance;
  for (const one of order.toReversed()) {
    one.y = Math.min(one.y, next - distance);
    next = one.y;
  }
  const placed: number[] = [];
  for (const { y, i } of order) placed[i] = y;
  return placed;
}

export function svg(width: number, height: number, title: string, content: string): string {
  const attributes = { viewBox: `0 0 ${width} ${height}`, role: 'img', class: 'plot' };
  return element('svg', attributes, element('title', {}, escapeHtml(title)) + content);
}
