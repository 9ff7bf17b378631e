/** A quick replay of test/support/fuzz-parser.ts: the C++ and the TypeScript parser give the same bytes. */
import { describe, expect, it } from 'vitest';
import { crlfForm, parseMessage } from '../../../src/engine/message/parse.js';
import { corpusFiles, corpusMissing, readCorpusMessage } from '../../support/corpus.js';
import { addressFloods, manyFields, manyParts, nearBoundaries, nests, parameterFloods } from '../../support/hostile.js';
import { mutate, Random, seedMessages } from '../../support/messages.js';
import { buildNativeParser, compiler } from '../../support/native-parser.js';
import { oddMail } from '../../support/odd-mail.js';

const GENERATED = 2000;

describe('the two parsers', () => {
  it('give the same bytes for hostile messages, the corpus, mutations of it and generated mail', (ctx) => {
    const cxx = compiler();
    if (cxx === undefined) {
      console.log('The parsers are not compared: no C++ compiler is here.');
      return ctx.skip('no C++ compiler');
    }
    const missing = corpusMissing();
    if (missing !== undefined) console.log(`The parsers are compared on built-in seeds only: ${missing}.`);
    const random = new Random(20_240_601);
    const corpus = missing === undefined ? corpusFiles().filter(() => random.next(10) === 0) : [];
    const seeds = [...seedMessages, ...corpus.map(readCorpusMessage)];
    const hostile = [...nests, ...addressFloods, ...parameterFloods].map(([, message]) => message);
    hostile.push(manyParts, nearBoundaries, manyFields);
    const messages = [
      ...hostile,
      ...seeds,
      ...Array.from({ length: GENERATED }, (_, i) => (i % 2 ? oddMail(random) : mutate(random, seeds))),
    ];
    const native = buildNativeParser(cxx);
    try {
      const results = native.parse(messages);
      for (const [i, message] of messages.entries()) {
        const ours = parseMessage(message);
        const theirs = results[i]!;
        const same =
          ours.headerBytes === theirs.headerBytes &&
          Buffer.compare(ours.cache, theirs.cache) === 0 &&
          Buffer.compare(crlfForm(message), theirs.crlf) === 0;
        if (!same) {
          const text = (cache: Uint8Array) => Buffer.from(cache).toString('latin1');
          expect(text(ours.cache), Buffer.from(message.subarray(0, 20_000)).toString('base64')).toBe(
            text(theirs.cache),
          );
        }
        expect(same).toBe(true);
      }
    } finally {
      native.close();
    }
  });
});
