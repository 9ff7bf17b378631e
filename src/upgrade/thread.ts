/**
 * Where a thread starts (piscina worker): in dist/ there is one such file for each kind of thread (bundle.mjs), and each
 * loads the script that has its name. Piscina takes the function that the script exports, or the promise of it.
 */
import { fileURLToPath } from 'node:url';
import { loadScript } from '../script.js';

export default loadScript<{ readonly default: unknown }>(fileURLToPath(import.meta.url)).default;
