/**
 * Migrates `<root>/INBOX` to `<root>/=user` in a process of its own, which the seam can stop:
 * `node --import tsx test/engine/one-folder.ts <engine> <root> <name>…`. Prints the outcome as one line of JSON.
 */
import * as fs from 'node:fs';
import { type EngineChoice, selectEngine } from '../../src/engine/engines.js';
import { armFaults, parseFaultPlan } from '../../src/fs/seam.js';
import { inputOf } from './portable/folder.js';

const [choice = '', root = '', ...names] = process.argv.slice(2);
armFaults(parseFaultPlan(process.env.MAILHAUL_FAULT));
const engine = await selectEngine(choice as EngineChoice);
const rows = names.map((name, i) => ({ uid: i + 1, name }));
const { halt, summary, errors, errnos } = engine.migrate(
  inputOf(`${root}/INBOX`, rows, {
    sourceFd: fs.openSync(`${root}/INBOX`, 'r'),
    targetFd: fs.openSync(`${root}/=user`, 'r'),
    singleFd: -1,
  }),
);
process.stdout.write(`${JSON.stringify({ halt, summary, errors: [...errors], errnos: [...errnos] })}\n`);
