/** A process that makes stores, so that a stop ends it, however long it takes: `make-store <array of options as JSON>`. */
import { type GenerateOptions, generateInstallation } from '../test/support/generate/index.js';

const all = JSON.parse(process.argv[2] ?? '') as readonly (Partial<GenerateOptions> & { readonly root: string })[];
process.stdout.write(`${JSON.stringify(all.map((options) => generateInstallation(options)))}\n`);
