/** The script of the command `upgrade` (script.ts): what upgrade.ts loads when it answers signals. */
export { startIfMain } from './common.js';
export { answeredBy } from './early-signals.js';
export { upgrade } from './upgrade-command.js';
