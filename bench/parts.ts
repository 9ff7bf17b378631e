/** Which parts a benchmark has: as its options say, as its cases need, or as the prediction for a given store needs. */
import type { Case } from './cases.js';
import { COMPETITORS } from './competitors.js';
import { probes } from './like.js';
import { type Conditions, inFolders, type Migration, type Part, PLAIN_STORE } from './plan.js';
import type { Settings } from './settings.js';
import type { StoreShapeFound } from './shape.js';

/** Parts that several cases have in common run once: with all that any of them measures on it. */
export function partsOf(cases: readonly Case[]): Part[] {
  const merged = new Map<string, Part>();
  for (const part of cases.flatMap(({ parts }) => parts)) {
    const known = merged.get(part.name);
    merged.set(part.name, known === undefined ? part : { ...known, ...union(known, part) });
  }
  return [...merged.values()];
}

function union(a: Part, b: Part): Pick<Part, 'competitors' | 'floors' | 'migrations'> {
  const all = <T>(one: readonly T[], other: readonly T[]) => [
    ...new Map([...one, ...other].map((item) => [JSON.stringify(item), item])).values(),
  ];
  return {
    competitors: all(a.competitors, b.competitors),
    floors: all(a.floors, b.floors),
    migrations: all(a.migrations, b.migrations),
  };
}

export function plannedParts(settings: Settings, shape: StoreShapeFound | undefined): Part[] {
  const disks = settings.directories.length > 0 ? settings.directories.length : settings.disks;
  const base = {
    disks: Array.from({ length: disks }, (_, i) => i),
    competitors: COMPETITORS.map(({ name }) => name).filter((name) => isWanted(settings, name)),
    floors: isWanted(settings, 'floor') ? settings.threads : [],
    conditions: conditionsOf(settings),
    migrations: migrationsOf(settings),
  };
  if (shape !== undefined) return probes(shape, settings.likeMessages, settings.seed, base);
  const { seed, messages, spread, size, sizes, attachments, gaps, recipients, bareLf } = settings;
  const chosen = { seed, messages, spread, size, sizes, attachments, gaps, recipients, bareLf };
  return [{ ...base, name: 'store', store: { ...PLAIN_STORE, ...chosen, ...inFolders(settings.folders) } }];
}

function isWanted({ competitors }: Settings, name: string): boolean {
  return competitors?.includes(name) ?? true;
}

function conditionsOf({ cold, across }: Settings): Conditions[] {
  const places = across ? [false, true] : [false];
  return places.flatMap((place) => cold.map((isCold) => ({ cold: isCold, across: place })));
}

/** Every engine with every number of threads; -r and another file system with the first number only. */
function migrationsOf(settings: Settings): Migration[] {
  const { engines, threads, cold, across, remove } = settings;
  const first = threads.slice(0, 1);
  const variants = [
    { threads, across: false, remove: false },
    ...(remove ? [{ threads: first, across: false, remove: true }] : []),
    ...(across ? [{ threads: first, across: true, remove: false }] : []),
  ];
  return engines.flatMap((engine) =>
    variants.flatMap((variant) =>
      cold.flatMap((isCold) => variant.threads.map((t) => ({ ...variant, engine, threads: t, cold: isCold }))),
    ),
  );
}
