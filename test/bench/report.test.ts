/** From measurements to figures: medians, ratios within a round, verdicts. */
import { expect, it } from 'vitest';
import { allCases, type Case } from '../../bench/cases.js';
import { partsOf } from '../../bench/parts.js';
import { type Part, PLAIN_STORE, type Sample } from '../../bench/plan.js';
import { type Report, summarize } from '../../bench/report.js';
import { textOf } from '../../bench/text.js';
import { sampleOf } from './sample.js';

const PART: Part = {
  name: 'store',
  store: PLAIN_STORE,
  disks: [0],
  competitors: ['cat'],
  floors: [2],
  conditions: [{ cold: false, across: false }],
  migrations: [],
};
const OWN = 'upgrade -m (native, -t 2)';

function report(rounds: readonly (readonly Sample[])[], cases: readonly Case[] = [], scaled = false): Report {
  const how = { disks: 'once', where: 'here', command: 'msg-bench', like: null } as const;
  return summarize({ rounds, parts: [PART], cases, scaled, ...how });
}

function rowOf({ parts }: Report, name: string) {
  return parts[0]!.results.find((result) => result.name === name)!;
}

it('gives the median of the rounds with lowest and highest', () => {
  const rounds = [3, 1, 2].map((seconds) => [sampleOf({ name: OWN, kind: 'messages', seconds })]);
  expect(rowOf(report(rounds), OWN).seconds).toEqual({ median: 2, min: 1, max: 3 });
  expect(rowOf(report(rounds), OWN).messagesPerSecond).toBe(500);
});

it('says what rounds after the first ran on, where there were any', () => {
  const [one, two] = [1, 2].map((n) => report(Array(n).fill([sampleOf({ name: OWN, kind: 'messages', seconds: 1 })])));
  expect(two!.disks).toBe('once');
  expect(textOf(two!)).toContain('disks made once: rounds after the first ran on stores that had been migrated');
  expect(textOf({ ...two!, disks: 'each round' })).toContain('disks made anew in each round');
  expect(textOf(one!)).not.toContain('disks made');
});

it('makes ratios within a round: a machine that was slow for one round does not count', () => {
  const rounds = [1, 10].map((slow) => [
    sampleOf({ name: 'cat', kind: 'competitor', seconds: 4 * slow }),
    sampleOf({ name: OWN, kind: 'messages', seconds: 2 * slow }),
  ]);
  expect(rowOf(report(rounds), OWN).ratios.cat).toEqual({ median: 0.5, min: 0.5, max: 0.5 });
});

it('compares cold with cold, and a floor of as many threads', () => {
  const samples = [
    sampleOf({ name: 'cat', kind: 'competitor', seconds: 1 }),
    sampleOf({ name: 'cat, cold', kind: 'competitor', seconds: 8, cold: true }),
    sampleOf({ name: 'floor, 1 thread, cold', kind: 'floor', seconds: 9, cold: true, threads: 1 }),
    sampleOf({ name: 'floor, 2 threads, cold', kind: 'floor', seconds: 2, cold: true, threads: 2 }),
    sampleOf({ name: `${OWN}, cold`, kind: 'messages', seconds: 4, cold: true }),
  ];
  const { ratios } = rowOf(report([samples]), `${OWN}, cold`);
  expect(ratios.cat!.median).toBe(0.5);
  expect(ratios.floor!.median).toBe(2);
});

it('takes medians of what the time was spent on, and none where it is not told', () => {
  const rounds = [1, 3, 2].map((read) => [sampleOf({ name: OWN, kind: 'messages', seconds: 4, times: { read } })]);
  expect(rowOf(report(rounds), OWN).times).toEqual({ read: 2 });
  expect(rowOf(report([[sampleOf({ name: OWN, kind: 'messages', seconds: 4 })]]), OWN).times).toBeNull();
});

const CASE: Case = {
  name: 'half',
  title: 'half of cat',
  bar: '≤ 0.5 × cat',
  disks: 1,
  needsRoot: false,
  parts: [PART],
  checks: [
    {
      text: 'upgrade -m / cat',
      unit: '×',
      limit: { atMost: 0.5 },
      value: (find) => find('store', OWN).seconds / find('store', 'cat').seconds,
    },
  ],
};

function roundsWith(ratios: readonly number[]): Sample[][] {
  return ratios.map((ratio) => [
    sampleOf({ name: 'cat', kind: 'competitor', seconds: 10 }),
    sampleOf({ name: OWN, kind: 'messages', seconds: 10 * ratio }),
  ]);
}

it('says reached by the median of the rounds', () => {
  const [reached] = report(roundsWith([0.4, 0.5, 0.9]), [CASE]).cases;
  expect(reached).toMatchObject({ reached: true, checks: [{ value: { median: 0.5, min: 0.4, max: 0.9 } }] });
  expect(report(roundsWith([0.4, 0.51, 0.9]), [CASE]).cases[0]!.reached).toBe(false);
  expect(textOf(report(roundsWith([0.6]), [CASE]))).toContain('case half: NOT reached');
});

it('gives no verdict on a case that was scaled down', () => {
  const [scaled] = report(roundsWith([0.4]), [CASE], true).cases;
  expect(scaled!.reached).toBeNull();
  expect(scaled!.checks[0]!.holds).toBe(true);
});

it('tells which row of a case is missing', () => {
  expect(() => report([[sampleOf({ name: OWN, kind: 'messages', seconds: 1 })]], [CASE])).toThrow('cat of store');
});

it('asks no case for a row that its parts do not measure', () => {
  for (const one of allCases(1)) {
    const asked: string[] = [];
    for (const { value } of one.checks) {
      value((part, row) => {
        asked.push(`${part}: ${row}`);
        return sampleOf({ part, name: row, kind: 'messages', seconds: 1 });
      });
    }
    for (const row of asked) expect(rowsOf(one.parts)).toContain(row);
    expect(asked.length).toBeGreaterThan(0);
  }
});

/** What PartRun calls its rows, said once more. */
function rowsOf(parts: readonly Part[]): string[] {
  return parts.flatMap((part) => {
    const suffix = part.conditions[0]!.cold ? ', cold' : '';
    const others = [
      ...part.competitors.map((name) => `${name}${suffix}`),
      ...part.floors.map((threads) => `floor, ${threads} threads${suffix}`),
      'upgrade -s',
    ];
    const own = part.migrations.map(
      ({ engine, threads, cold }) =>
        `upgrade -m (${engine}, ${threads === null ? 'default -t' : `-t ${threads}`}${cold ? ', cold' : ''})`,
    );
    return [...others, ...own].map((row) => `${part.name}: ${row}`);
  });
}

it('measures a part that cases have in common once, with all that they ask of it', () => {
  const cases = allCases(1).filter(({ name }) => ['folders-50', 'tiny-folders', 'portable'].includes(name));
  const parts = partsOf(cases);
  expect(parts.map(({ name }) => name)).toEqual(['50 folders', 'tiny']);
  expect(parts[0]!.competitors).toHaveLength(4);
  expect(parts[0]!.migrations.map(({ engine }) => engine)).toEqual(['native', 'portable']);
});
