/** What a case of the complexity campaign is. */

export type EngineName = 'native' | 'portable';

export interface Case {
  readonly name: string;
  /** What `n` counts, for the table. */
  readonly unit: string;
  /** Three sizes that double, of the sample and of the whole campaign. */
  readonly quick: readonly [number, number, number];
  readonly long: readonly [number, number, number];
  /** Both engines have code of their own for it; else it is code that they share. */
  readonly engines: boolean;
  /** The limit beyond which the input is refused or cut, for the table. */
  readonly limit?: string;
  /** Writes the input below `directory`, which is empty; what is not measured. */
  make(directory: string, n: number): unknown;
  /** The work that is measured. `made` is what `make` returned. */
  run(directory: string, made: unknown, engine: EngineName): unknown;
}

/** `n` of the sample: up to `most`; in full up to `all`. */
export function sizes(most: number, all: number): Pick<Case, 'quick' | 'long'> {
  return { quick: [most / 4, most / 2, most], long: [all / 4, all / 2, all] };
}

export const MB = 1 << 20;
