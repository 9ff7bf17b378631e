#!/usr/bin/env node
/**
 * The command `upgrade` (upgrade-command.ts). This file only answers signals while that one, and all that it needs, is
 * loaded: a fraction of a second, seconds on a busy machine.
 */
import { answerEarlySignals } from './early-signals.js';

answerEarlySignals('upgrade');
const [{ startIfMain }, { upgrade }] = await Promise.all([import('./common.js'), import('./upgrade-command.js')]);
await startIfMain(import.meta.url, upgrade);
