import { loadAddon } from '../../../src/fs/addon.js';

/** Engines that can run here. */
export function engines(): ('native' | 'portable')[] {
  return loadAddon() === undefined ? ['portable'] : ['native', 'portable'];
}
