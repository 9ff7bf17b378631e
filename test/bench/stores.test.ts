import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import * as os from 'node:os';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { type Part, PLAIN_STORE } from '../../bench/plan.js';
import { makeStores } from '../../bench/stores.js';
import { removeInstallation } from '../support/generate.js';

/** Linux takes no longer one (MAX_ARG_STRLEN). */
const LONGEST_ARGUMENT = 131_072;

it('makes a store whose plan is longer than an argument may be', async () => {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'mailhaul-stores-'));
  const store = { ...PLAIN_STORE, seed: 's'.repeat(LONGEST_ARGUMENT), users: 2, foldersEach: 1, messages: 4 };
  const part: Part = {
    name: 'store',
    store,
    disks: [0],
    competitors: [],
    floors: [],
    conditions: [],
    migrations: [],
  };
  // As the launcher runs the sources.
  process.execArgv.push('--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href);
  const [made] = await makeStores([{ path: work, across: null, device: null }], part, ['one']);
  expect(made!.installation.messages).toBe(4);
  removeInstallation(work);
});
