/**
 * A given store, from small ones like it. Five probes tell its four costs apart (fit.ts); with one more than there are
 * costs, what the fit leaves says something:
 *
 *     large     n messages of its sizes, in folders as full as its own
 *     small     n / 4 of the same
 *     middle    between the two
 *     light     the small one with messages of a quarter of the size
 *     folders   the small one in four times as many folders
 */
import { type Observation, type Prediction, predict, type Quantities } from './fit.js';
import {
  foldersRow,
  type Migration,
  messagesRow,
  migrationText,
  type Part,
  PLAIN_STORE,
  type Sample,
  type StorePlan,
} from './plan.js';
import type { StoreShapeFound } from './shape.js';

export interface Window {
  readonly migration: string;
  readonly cold: boolean;
  readonly across: boolean;
  /** Both commands, seconds. */
  readonly seconds: number;
  readonly low: number;
  readonly high: number;
  /** `upgrade -s`, and `upgrade -m`. */
  readonly folders: Prediction;
  readonly messages: Prediction;
}

const FACTOR = 4;
const LEAST_MESSAGES = 100;
const MOST_FOLDERS_EACH = 20;
/** Any step that shares no divisor with the number of folders mixes full folders with empty ones. */
const STEP = 7919;

export function probes(
  shape: StoreShapeFound,
  messages: number,
  seed: string,
  more: Pick<Part, 'competitors' | 'floors' | 'conditions' | 'migrations' | 'disks'>,
): Part[] {
  if (shape.messages === 0) {
    const why = shape.unreadable > 0 ? ` (${shape.unreadable} directories could not be read)` : '';
    throw new Error(`no message was found in the given store${why}: nothing to predict`);
  }
  const large = Math.max(LEAST_MESSAGES, Math.min(messages, shape.messages));
  const small = Math.max(LEAST_MESSAGES / 2, Math.round(large / FACTOR));
  const alone = { ...more, competitors: [], floors: [] };
  return [
    { ...more, name: 'large', store: scaledDown(shape, seed, large) },
    { ...alone, name: 'middle', store: scaledDown(shape, seed, Math.round((large + small) / 2)) },
    { ...alone, name: 'small', store: scaledDown(shape, seed, small) },
    { ...alone, name: 'light', store: scaledDown(shape, seed, small, { lighter: FACTOR }) },
    { ...alone, name: 'folders', store: scaledDown(shape, seed, small, { moreFolders: FACTOR }) },
  ];
}

/** A store of about so many messages, with sizes and folders as the given one has them. */
export function scaledDown(
  shape: StoreShapeFound,
  seed: string,
  messages: number,
  { lighter = 1, moreFolders = 1 }: { readonly lighter?: number; readonly moreFolders?: number } = {},
): StorePlan {
  const wanted = Math.max(1, Math.round((shape.folders * moreFolders * messages) / shape.messages));
  const foldersEach = Math.max(1, Math.min(wanted, MOST_FOLDERS_EACH, Math.round(shape.folders / shape.users)));
  const users = Math.max(1, Math.round(wanted / foldersEach));
  const counts = spreadLike(shape.folderSizes, users * foldersEach, messages);
  return {
    ...PLAIN_STORE,
    seed,
    users,
    foldersEach,
    counts,
    messages: counts.reduce((sum, count) => sum + count, 0),
    sizes: 'classes',
    sizeClasses: shape.sizes.map(({ low, high, count }) => ({
      low: Math.max(1, low / lighter),
      high: Math.max(1, high / lighter),
      weight: count,
    })),
    gaps: Math.min(0.95, Math.max(0, shape.gaps.share)),
    singleCopy: Math.max(0, 1 - shape.inodes / shape.messages),
    bareLf: shape.bareLf.sampled === 0 ? 0 : shape.bareLf.found / shape.bareLf.sampled,
  };
}

/** Quantiles of the given folders, scaled so that they hold so many messages in all. */
function spreadLike(sorted: readonly number[], folders: number, messages: number): number[] {
  const quantiles = Array.from({ length: folders }, (_, i) => {
    const mixed = (i * STEP) % folders;
    return sorted[Math.min(sorted.length - 1, Math.floor(((mixed + 0.5) / folders) * sorted.length))]!;
  });
  const total = quantiles.reduce((sum, count) => sum + count, 0);
  if (total === 0) return quantiles.map((_count, i) => (i === 0 ? messages : 0));
  return quantiles.map((count) => Math.round((count / total) * messages));
}

/** The window of the given store by each kind of migration that was measured. */
export function windows(
  rounds: readonly (readonly Sample[])[],
  migrations: readonly Migration[],
  shape: StoreShapeFound,
): Window[] {
  const target: Quantities = { messages: shape.messages, bytes: shape.bytes, folders: shape.folders };
  return migrations.map((migration) => {
    const messages = predict(observations(rounds, messagesRow(migration)), target);
    // -s opens every folder and reads the names in it, no message.
    const folders = predict(
      observations(rounds, foldersRow(migration)).map((round) => round.map((one) => ({ ...one, bytes: 0 }))),
      { ...target, bytes: 0 },
    );
    return {
      migration: migrationText(migration),
      cold: migration.cold,
      across: migration.across,
      seconds: folders.seconds + messages.seconds,
      low: folders.low + messages.low,
      high: folders.high + messages.high,
      folders,
      messages,
    };
  });
}

function observations(rounds: readonly (readonly Sample[])[], row: string): Observation[][] {
  return rounds.map((samples) =>
    samples
      .filter(({ name }) => name === row)
      .map(({ part, messages, bytes, folders, seconds }) => ({ probe: part, messages, bytes, folders, seconds })),
  );
}
