/** The corpus: ENVELOPE and BODYSTRUCTURE are what Dovecot and Cyrus agree on (shared/corpus/README.md). */
import { describe, expect, it } from 'vitest';
import { decodeCacheEntry, parseImapValue, parseMessage } from '../../../src/engine/message/parse.js';
import { corpusMissing, foldStructure, readConsensus, readCorpusMessage, sha256 } from '../../support/corpus.js';

describe('the corpus', () => {
  it('agrees with both servers wherever they agree', (ctx) => {
    const missing = corpusMissing();
    if (missing !== undefined) {
      console.log(`The parser is not scored: ${missing}.`);
      return ctx.skip(missing);
    }
    const wrong: string[] = [];
    for (const consensus of readConsensus()) {
      const message = readCorpusMessage(consensus.file);
      expect(sha256(message)).toBe(consensus.sha256);
      const entry = decodeCacheEntry(parseMessage(message).cache);
      const check = (field: string, ours: unknown, theirs: unknown): void => {
        if (theirs !== undefined && JSON.stringify(ours) !== JSON.stringify(theirs))
          wrong.push(`${field} ${consensus.file}`);
      };
      check('envelope', parseImapValue(entry.envelope), consensus.envelope);
      const structure = consensus.bodystructure;
      check('bodystructure', foldStructure(parseImapValue(entry.bodystructure)), structure && foldStructure(structure));
    }
    expect(wrong).toEqual([]);
  });
});
