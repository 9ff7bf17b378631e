/**
 * A process that makes stores, so that a stop ends it, however long it takes: `make-store <file>`, an array of options as
 * JSON. What it made is told on standard output.
 */
import { readFileSync } from 'node:fs';
import { type GenerateOptions, generateInstallation } from '../test/support/generate/index.js';

type Options = Partial<GenerateOptions> & { readonly root: string };

const all = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as readonly Options[];
process.stdout.write(`${JSON.stringify(all.map((options) => generateInstallation(options)))}\n`);
