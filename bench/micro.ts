/**
 * `npm run bench:micro`: single pieces, each over the same data, with `benchmark`: the parsers, the digest, the readers
 * and writers of indexes, journals, records and mappings, names, `.mailbox` and LDIF. micro/pieces.ts has the list.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import Benchmark from 'benchmark';
import { loadDigest } from '../src/store/digest.js';
import { type Piece, pieces } from './micro/pieces.js';
import { MESSAGE_BYTES, MESSAGES, makeSample } from './micro/sample.js';
import { median } from './statistics.js';

const HELP = `usage: npm run bench:micro -- [options] [part of a piece's name …]

  --seconds <n>  of measuring, for each piece (2)
  --json         the figures as JSON, microseconds
`;

interface Figure {
  readonly name: string;
  /** Median of all samples, an item. */
  readonly microseconds: number;
  /** Half of the confidence interval of the mean (95 %). */
  readonly marginPercent: number;
}

function measured({ name, items, run }: Piece, maxTime: number): Figure {
  const bench = new Benchmark(name, run, { maxTime });
  bench.run();
  const { error } = bench as { error?: Error };
  if (error !== undefined) throw error;
  const microseconds = (median(bench.stats.sample) / items) * 1e6;
  return { name, microseconds, marginPercent: bench.stats.rme };
}

function line({ name, microseconds, marginPercent }: Figure): string {
  return `${name.padEnd(52)} ${microseconds.toFixed(2).padStart(9)} µs  ±${marginPercent.toFixed(1)} %\n`;
}

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '2' }, json: { type: 'boolean' }, help: { type: 'boolean' } },
  allowPositionals: true,
});
if (values.help) {
  process.stdout.write(HELP);
} else {
  const seconds = Number(values.seconds);
  if (!(seconds > 0)) throw new Error(`--seconds: ${values.seconds} is no number above 0`);
  await loadDigest();
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-micro-'));
  try {
    const sample = makeSample(work);
    const ldif = fs.openSync(sample.ldif, 'r');
    const about = `${MESSAGES} messages of ${MESSAGE_BYTES} bytes; Node ${process.versions.node}, ${os.cpus()[0]?.model.trim()}`;
    if (!values.json) process.stdout.write(`${about}\n`);
    const figures: Figure[] = [];
    for (const piece of pieces(sample, ldif)) {
      if (positionals.length > 0 && !positionals.some((part) => piece.name.includes(part))) continue;
      const figure = measured(piece, seconds);
      figures.push(figure);
      if (!values.json) process.stdout.write(line(figure));
    }
    if (values.json) process.stdout.write(`${JSON.stringify({ about, figures }, undefined, 2)}\n`);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}
