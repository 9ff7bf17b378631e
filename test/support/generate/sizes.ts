/** How large the next message is. */
import { type GenerateOptions, MAX_SIZE, type SizeClass } from './options.js';
import type { Random } from './random.js';

/** The attachments of `mail`. */
const ATTACHMENT = { low: 2 ** 20, high: 20 * 2 ** 20 };

export function sizeSource(options: GenerateOptions): (random: Random) => number {
  const { size, attachments } = options;
  switch (options.sizes) {
    case 'fixed':
      return () => size;
    case 'lognormal':
      // Most messages near the median, one in a hundred with a large attachment.
      return (random) => limited(lognormal(random, size) * (random.chance(0.01) ? 40 : 1));
    case 'mail':
      return (random) => limited(random.chance(attachments) ? within(random, ATTACHMENT) : lognormal(random, size));
    case 'classes':
      return classes(options.sizeClasses);
  }
}

/** Bytes of a message of `mail` on average, to plan with. */
export function meanOfMail(median: number, attachments: number): number {
  const { low, high } = ATTACHMENT;
  const large = (high - low) / Math.log(high / low);
  return attachments * large + (1 - attachments) * median * Math.exp(SIGMA ** 2 / 2);
}

const SIGMA = 0.9;

function lognormal(random: Random, median: number): number {
  return median * Math.exp(SIGMA * random.normal());
}

function within(random: Random, { low, high }: { readonly low: number; readonly high: number }): number {
  return low * (high / low) ** random.next();
}

function limited(size: number): number {
  return Math.min(MAX_SIZE, Math.round(size));
}

function classes(all: readonly SizeClass[]): (random: Random) => number {
  const total = all.reduce((sum, { weight }) => sum + weight, 0);
  if (!(total > 0)) throw new Error('sizeClasses: at least one must have a weight above 0');
  return (random) => {
    let draw = random.next() * total;
    const found = all.find(({ weight }) => {
      draw -= weight;
      return draw < 0;
    });
    return limited(within(random, found ?? all.at(-1)!));
  };
}
