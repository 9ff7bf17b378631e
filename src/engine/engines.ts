/** Chooses one of the two engines. */
import { MailhaulError } from '../errors.js';
import { loadAddon } from '../fs/addon.js';
import { loadDigest } from '../store/digest.js';
import { nativeEngine } from './native/engine.js';
import { portableEngine } from './portable/engine.js';
import type { FolderEngine } from './types.js';

/** `auto`: native when the addon is there. */
export type EngineChoice = 'native' | 'portable' | 'auto';

/**
 * The engine of this thread, ready to use; checksums are loaded. Throws ENGINE_NATIVE_MISSING when the addon
 * was asked for and cannot be loaded.
 */
export async function selectEngine(choice: EngineChoice): Promise<FolderEngine> {
  await loadDigest();
  if (choice === 'portable') return portableEngine();
  const addon = loadAddon();
  if (addon !== undefined) return nativeEngine(addon);
  if (choice === 'auto') return portableEngine();
  throw new MailhaulError('ENGINE_NATIVE_MISSING', 'The native addon was asked for but is not built.', {
    where: 'build/Release/mailhaul.node',
    hint: 'Install a C++ compiler and cmake, then run `npm run build:native`; or use `--no-native`.',
  });
}
