import { describe, expect, it } from 'vitest';
import { corpusMissing } from '../support/corpus.js';
import { differentIndexes, reachesBar, scoreCorpus } from '../support/corpus-store.js';
import { engineOptions } from '../support/site.js';

describe('the corpus through the whole product', () => {
  it('answers as Dovecot and Cyrus agree, with the same index from each engine', (context) => {
    const missing = corpusMissing();
    if (missing !== undefined) {
      console.log(`Left out: the corpus test (${missing}).`);
      context.skip(missing);
    }
    const scores = engineOptions().map(scoreCorpus);
    for (const score of scores) expect(reachesBar(score), score.mismatches.slice(0, 5).join('\n')).toBe(true);
    expect(differentIndexes(scores)).toEqual([]);
  }, 300_000);
});
