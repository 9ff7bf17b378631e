#!/usr/bin/env node
/**
 * The command `upgrade` (upgrade-command.ts). This file only answers signals while that one, and all that it needs, is
 * loaded, from a script of its own (script.ts): a fraction of a second, more on a busy machine.
 */
import { fileURLToPath } from 'node:url';
import { loadScript } from '../script.js';
import { answerEarlySignals, signalsAreAnswered } from './early-signals.js';

answerEarlySignals('upgrade');
const main = loadScript<typeof import('./upgrade-main.js')>(fileURLToPath(import.meta.url));
main.answeredBy(signalsAreAnswered);
// Those that came meanwhile are heard of in a turn of the event loop, and to load a script takes none. The turn under way
// may have asked for them already: the next one has not.
for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
await main.startIfMain(import.meta.url, 'upgrade', main.upgrade);
