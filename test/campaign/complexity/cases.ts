/** All cases of the complexity campaign. */
import type { Case } from './case.js';
import { FILES } from './files.js';
import { FOLDERS, MESSAGES } from './messages.js';

export const CASES: readonly Case[] = [...MESSAGES, ...FOLDERS, ...FILES];
