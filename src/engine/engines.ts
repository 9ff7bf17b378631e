/** Chooses one of the two engines, and loads only what it needs. */
import { MailhaulError } from '../errors.js';
import { loadAddon } from '../fs/addon.js';
import type { FolderEngine } from './types.js';

/** `auto`: native when the addon is there. */
export type EngineChoice = 'native' | 'portable' | 'auto';

/**
 * The engine of this thread, ready to use. Throws ENGINE_NATIVE_MISSING when the addon was asked for and
 * cannot be loaded.
 */
export async function selectEngine(choice: EngineChoice): Promise<FolderEngine> {
  const addon = choice === 'portable' ? undefined : loadAddon();
  if (addon !== undefined) return (await import('./native/engine.js')).nativeEngine(addon);
  if (choice === 'native') {
    throw new MailhaulError('ENGINE_NATIVE_MISSING', 'The native addon was asked for but is not built.', {
      where: 'build/Release/mailhaul.node',
      hint: 'Install a C++ compiler and cmake, then run `npm run build:native`; or use `--no-native`.',
    });
  }
  const [{ portableEngine }, { loadDigest }] = await Promise.all([
    import('./portable/engine.js'),
    import('../store/digest.js'),
  ]);
  await loadDigest();
  return portableEngine();
}
