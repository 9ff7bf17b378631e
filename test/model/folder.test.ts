import { describe, expect, it } from 'vitest';
import { explore, type Limits, PROTOCOL, type Protocol } from './folder.js';

const LIMITS: Limits = { kills: 3, powerLosses: 2, failures: 1 };

describe('state model of one folder', () => {
  it('keeps every promise in every reachable state and always reaches the end state', () => {
    const result = explore(PROTOCOL, LIMITS);
    expect(result.violation).toBeUndefined();
    expect(result.stuck).toBe(0);
    // Thousands of states: an enumeration that stops early would prove nothing.
    expect(result.states).toBeGreaterThan(5_000);
  });

  // Each wrong order must be caught; otherwise the model could not fail.
  const mutations: readonly (readonly [keyof Protocol, RegExp])[] = [
    ['checkAfterLock', /promise/],
    ['recordReadUnderLock', /promise 2/],
    ['recordFirst', /promise 2/],
    ['syncBeforePublish', /promise 4/],
    ['removeAfterPublish', /promise/],
    ['lockUntilPublished', /promise/],
    ['failuresStayInTransition', /promise 4/],
  ];
  for (const [rule, expected] of mutations) {
    it(`finds the state that breaks a promise without the rule ${rule}`, () => {
      const result = explore({ ...PROTOCOL, [rule]: false }, LIMITS);
      expect(result.violation?.what).toMatch(expected);
    });
  }
});
