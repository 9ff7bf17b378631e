import { expect, it } from 'vitest';
import { meet, waitForAll } from '../../src/upgrade/barrier.js';

it('one that fails lets the others go, and says why', async () => {
  let others: { readonly arrived: Int32Array; readonly threads: number } | undefined;
  const ends = meet(3, (barrier) => {
    if (others !== undefined) return Promise.resolve('sent');
    others = barrier;
    return Promise.reject(new Error('it died'));
  });
  const ended = await Promise.allSettled(ends);
  expect(ended.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
  expect((ended[0] as PromiseRejectedResult).reason).toEqual(new Error('it died'));
  expect(others?.threads).toBe(3);
  // It would wait for ever if the one that failed were still to come.
  waitForAll(others?.arrived ?? new Int32Array(1), 3);
});
