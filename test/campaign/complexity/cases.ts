/** All cases of the complexity campaign. */
import type { Case } from './case.js';
import { LISTS } from './lists.js';
import { FOLDERS, MESSAGES } from './messages.js';
import { STORE } from './store.js';
import { TREES } from './trees.js';

export const CASES: readonly Case[] = [...MESSAGES, ...FOLDERS, ...TREES, ...LISTS, ...STORE];
