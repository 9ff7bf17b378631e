#!/usr/bin/env node
/**
 * The command `upgrade` (upgrade-command.ts). This file only answers signals while that one, and all that it needs, is
 * loaded: a fraction of a second, more on a busy machine. In a bundle (bundle.mjs) all of it is one text, which is parsed
 * before and evaluated after the signals are answered.
 */
import { answerEarlySignals } from './early-signals.js';

answerEarlySignals('upgrade');
const [{ startIfMain }, { upgrade }] = await Promise.all([import('./common.js'), import('./upgrade-command.js')]);
// Those that came meanwhile are heard of in a turn of the event loop, and to evaluate a bundle takes none. The turn under
// way may have asked for them already: the next one has not.
for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
await startIfMain(import.meta.url, 'upgrade', upgrade);
