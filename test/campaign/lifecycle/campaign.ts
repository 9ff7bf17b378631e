/**
 * Every life of lives.ts with each engine, and full link counts (links.ts). The quick form is a sample: all lives are
 * tests as well (test/upgrade/lifecycle.test.ts).
 *
 *     npm run campaign -- lifecycle --long [-- <part of a life's name> | links]
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { randomOf } from '../../support/generate/random.js';
import { engines } from '../support/engines.js';
import type { Campaign } from '../types.js';
import { live } from './life.js';
import { links } from './links.js';
import { LIVES } from './lives.js';

/** All lives are tests as well (test/upgrade/lifecycle.test.ts): a sample is every so many-th. */
const SAMPLE = 4;

export const campaign: Campaign = {
  about:
    'between two runs: deletes, renames, moves, new folders and flags, full link counts; nothing comes back, doubles, vanishes',
  async run({ long, log, args, seed }) {
    const problems: string[] = [];
    const notes: string[] = [];
    let cases = 0;
    const wanted = args.join(' ');
    const here = engines();
    const first = randomOf(seed, 'lifecycle').int(0, SAMPLE - 1);
    for (const [i, life] of LIVES.entries()) {
      if (!life.name.includes(wanted) || (!long && wanted === '' && i % SAMPLE !== first)) continue;
      // A sample takes the engines in turns: they differ in what they do to a folder, not in what is decided about it.
      for (const engine of long ? here : [here[Math.floor(i / SAMPLE) % here.length] ?? 'portable']) {
        cases += 1;
        // A life waits for nothing: a signal is only heard between two of them.
        await nextTurn();
        try {
          await live(life, engine === 'native' ? '--native' : '--no-native', '/dev/shm');
        } catch (error) {
          problems.push(`${life.name}, ${engine}: ${error instanceof Error ? error.message : error}`);
        }
        log(`${life.name}, ${engine}: ${problems.length} problems so far`);
      }
    }
    if ((long && wanted === '') || wanted === 'links') {
      const found = await links(here);
      cases += found.cases;
      problems.push(...found.problems);
      notes.push(...found.notes);
    }
    return { cases, problems, notes };
  },
};
