import type { MappingDatabase, MappingFolder } from './types.js';

/**
 * Whether the folder has, or had, messages in 3.x. An earlier version left folders that came after `-s`, and were
 * migrated, as `missing`; their record names what was there.
 */
export function hasOriginals(mapping: Pick<MappingDatabase, 'record'>, folder: MappingFolder): boolean {
  return !folder.missing || (mapping.record(folder.id)?.count ?? 0) > 0;
}
