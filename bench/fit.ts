/**
 * What a migration costs, fitted to measured runs, and what a given store will take by it:
 *
 *     seconds = fixed + message · messages + byte · bytes + folder · folders          (no cost is below 0)
 *
 * Least squares of the relative errors, so that a short run counts as much as a long one. With four costs the best fit
 * without a negative one is found by trying every subset of them. The range of a prediction: each round is fitted for
 * itself; the lowest and the highest of their predictions, widened by the largest relative error that the fit of the
 * medians leaves at any run. What lies far beyond the measured sizes is extrapolated, and the prediction says how far.
 */
import { median } from './statistics.js';

export interface Quantities {
  readonly messages: number;
  readonly bytes: number;
  readonly folders: number;
}

export interface Observation extends Quantities {
  /** Which of the stores; the same in every round. */
  readonly probe: string;
  readonly seconds: number;
}

/** Seconds for each. */
export interface Costs {
  readonly fixed: number;
  readonly message: number;
  readonly byte: number;
  readonly folder: number;
}

export interface Prediction {
  readonly seconds: number;
  readonly low: number;
  readonly high: number;
  readonly costs: Costs;
  /** Where the seconds go: each cost times its quantity. */
  readonly parts: Costs;
  /** Largest relative error of the fit at a measured run. */
  readonly error: number;
  /** So many times the messages of the largest measured run. */
  readonly extrapolation: number;
}

/** @param rounds observations of each round */
export function predict(rounds: readonly (readonly Observation[])[], target: Quantities): Prediction {
  const medians = mediansOf(rounds.flat());
  const costs = fitCosts(medians);
  const error = Math.max(...medians.map((run) => Math.abs(secondsFor(costs, run) / run.seconds - 1)));
  const seconds = secondsFor(costs, target);
  const each = rounds.map((round) => secondsFor(fitCosts(round), target));
  return {
    seconds,
    low: Math.min(seconds, ...each) * (1 - Math.min(error, 1)),
    high: Math.max(seconds, ...each) * (1 + error),
    costs,
    parts: {
      fixed: costs.fixed,
      message: costs.message * target.messages,
      byte: costs.byte * target.bytes,
      folder: costs.folder * target.folders,
    },
    error,
    extrapolation: target.messages / Math.max(...medians.map(({ messages }) => messages)),
  };
}

export function secondsFor({ fixed, message, byte, folder }: Costs, { messages, bytes, folders }: Quantities): number {
  return fixed + message * messages + byte * bytes + folder * folders;
}

export function fitCosts(observations: readonly Observation[]): Costs {
  if (observations.length === 0) throw new Error('nothing was measured that could be fitted');
  const rows = observations.map(({ messages, bytes, folders, seconds }) => ({
    columns: [1, messages, bytes, folders],
    seconds,
  }));
  // Columns of like size keep the equations well conditioned.
  const scales = [0, 1, 2, 3].map((column) => Math.max(...rows.map(({ columns }) => columns[column]!), 1e-300));
  const scaled = rows.map(({ columns, seconds }) => columns.map((value, i) => value / scales[i]! / seconds));
  let best: { readonly costs: number[]; readonly error: number } | undefined;
  for (let subset = 1; subset < 16; subset++) {
    const chosen = [0, 1, 2, 3].filter((column) => (subset & (1 << column)) !== 0);
    const found = leastSquares(scaled.map((row) => chosen.map((column) => row[column]!)));
    if (found === undefined || found.some((value) => value < 0)) continue;
    const costs = [0, 0, 0, 0];
    chosen.forEach((column, i) => {
      costs[column] = found[i]!;
    });
    const error = scaled.reduce((sum, row) => sum + (dot(row, costs) - 1) ** 2, 0);
    if (best === undefined || error < best.error - 1e-12) best = { costs, error };
  }
  if (best === undefined) throw new Error('the measured runs cannot be fitted');
  const [fixed, message, byte, folder] = best.costs.map((cost, column) => cost / scales[column]!);
  return { fixed: fixed!, message: message!, byte: byte!, folder: folder! };
}

function mediansOf(observations: readonly Observation[]): Observation[] {
  return [...new Set(observations.map(({ probe }) => probe))].map((probe) => {
    const own = observations.filter((one) => one.probe === probe);
    return { ...own[0]!, seconds: median(own.map(({ seconds }) => seconds)) };
  });
}

/** Coefficients whose product with each row is nearest to 1; undefined when the rows do not determine them. */
function leastSquares(rows: readonly (readonly number[])[]): number[] | undefined {
  const size = rows[0]!.length;
  if (rows.length < size) return undefined;
  // Normal equations with the right side as the last column.
  const matrix = Array.from({ length: size }, (_, i) => [
    ...Array.from({ length: size }, (_, j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0)),
    rows.reduce((sum, row) => sum + row[i]!, 0),
  ]);
  for (let column = 0; column < size; column++) {
    const pivot = matrix.slice(column).reduce((at, row, i) => {
      return Math.abs(row[column]!) > Math.abs(matrix[at]![column]!) ? column + i : at;
    }, column);
    [matrix[column], matrix[pivot]] = [matrix[pivot]!, matrix[column]!];
    const top = matrix[column]!;
    if (Math.abs(top[column]!) < 1e-12 * Math.max(...top.map(Math.abs), 1e-300)) return undefined;
    for (const [i, row] of matrix.entries()) {
      if (i === column) continue;
      const factor = row[column]! / top[column]!;
      for (let j = column; j <= size; j++) row[j]! -= factor * top[j]!;
    }
  }
  return matrix.map((row, i) => row[size]! / row[i]!);
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}
