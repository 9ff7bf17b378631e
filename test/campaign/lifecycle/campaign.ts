/** Every life of lives.ts with each engine; `test/upgrade/lifecycle.test.ts` runs them as tests. */
import { engines } from '../support/engines.js';
import type { Campaign } from '../types.js';
import { links } from './links.js';
import { LIVES, live } from './lives.js';

export const campaign: Campaign = {
  about:
    'between two runs: deletes, renames, moves, new folders and flags, full link counts; nothing comes back, doubles, vanishes',
  async run({ long, log, args }) {
    const problems: string[] = [];
    const notes: string[] = [];
    let cases = 0;
    const wanted = args.join(' ');
    const here = engines();
    for (const [i, life] of LIVES.entries()) {
      if (!life.name.includes(wanted)) continue;
      // A sample takes the engines in turns: they differ in what they do to a folder, not in what is decided about it.
      for (const engine of long ? here : [here[i % here.length] ?? 'portable']) {
        cases += 1;
        try {
          await live(life, engine === 'native' ? '--native' : '--no-native', '/dev/shm');
        } catch (error) {
          problems.push(`${life.name}, ${engine}: ${error instanceof Error ? error.message : error}`);
        }
        log(`${life.name}, ${engine}: ${problems.length} problems so far`);
      }
    }
    if (long && wanted === '') {
      const found = await links(here);
      cases += found.cases;
      problems.push(...found.problems);
      notes.push(...found.notes);
    }
    return { cases, problems, notes };
  },
};
