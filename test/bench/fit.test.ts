import { expect, it } from 'vitest';
import { type Costs, fitCosts, type Observation, predict, secondsFor } from '../../bench/fit.js';

const STORES = [
  { probe: 'large', messages: 40_000, bytes: 4e8, folders: 400 },
  { probe: 'small', messages: 10_000, bytes: 1e8, folders: 100 },
  { probe: 'light', messages: 10_000, bytes: 2.5e7, folders: 100 },
  { probe: 'folders', messages: 10_000, bytes: 1e8, folders: 400 },
];
const COSTS: Costs = { fixed: 0.6, message: 20e-6, byte: 2e-9, folder: 800e-6 };
const TARGET = { messages: 1_000_000, bytes: 1e10, folders: 10_000 };

/** Exact, times a factor for each store. */
function round(costs: Costs, factors: readonly number[] = []): Observation[] {
  return STORES.map((store, i) => ({ ...store, seconds: secondsFor(costs, store) * (factors[i] ?? 1) }));
}

it('finds each of four costs', () => {
  const found = fitCosts(round(COSTS));
  for (const key of ['fixed', 'message', 'byte', 'folder'] as const) {
    expect(found[key] / COSTS[key]).toBeCloseTo(1, 6);
  }
});

it('gives no cost below zero, where noise would', () => {
  // The store with more folders came out faster.
  const found = fitCosts(round({ ...COSTS, folder: 0 }, [1, 1, 1, 0.9]));
  expect(Math.min(...Object.values(found))).toBeGreaterThanOrEqual(0);
  expect(found.folder).toBe(0);
});

it('fits fewer costs to fewer stores', () => {
  const found = fitCosts(round(COSTS).slice(0, 1));
  expect(secondsFor(found, STORES[0]!)).toBeCloseTo(secondsFor(COSTS, STORES[0]!), 9);
});

it('predicts a larger store from exact rounds exactly, without a range', () => {
  const { seconds, low, high, error } = predict([round(COSTS), round(COSTS)], TARGET);
  expect(seconds).toBeCloseTo(secondsFor(COSTS, TARGET), 3);
  expect(error).toBeLessThan(1e-9);
  expect(high - low).toBeLessThan(1e-3);
});

it('has a range that holds what each round alone predicts', () => {
  const rounds = [round(COSTS, [1.1, 1, 1, 1]), round(COSTS), round(COSTS, [0.9, 1, 1, 1])];
  const { seconds, low, high } = predict(rounds, TARGET);
  for (const one of rounds) {
    const alone = predict([one], TARGET).seconds;
    expect(alone).toBeGreaterThanOrEqual(low);
    expect(alone).toBeLessThanOrEqual(high);
  }
  expect(low).toBeLessThan(seconds * 0.97);
  expect(high).toBeGreaterThan(seconds * 1.03);
});

it('widens the range by what the fit leaves unexplained', () => {
  // Folders cost nothing and bytes come out dearer when there are fewer of them: no costs explain that.
  const { low, high, error, seconds } = predict([round({ ...COSTS, folder: 0 }, [1, 1, 1.5, 0.6])], TARGET);
  expect(error).toBeGreaterThan(0.05);
  expect(high / seconds).toBeCloseTo(1 + error, 6);
  expect(low / seconds).toBeCloseTo(1 - error, 6);
});

it('says how far it extrapolates, and where the seconds go', () => {
  const { extrapolation, parts, seconds } = predict([round(COSTS)], TARGET);
  expect(extrapolation).toBe(25);
  expect(parts.fixed + parts.message + parts.byte + parts.folder).toBeCloseTo(seconds, 9);
  expect(parts.message).toBeCloseTo(20, 3);
});
