import { describe, expect, it } from 'vitest';
import { explore } from './explore.js';
import { type Limits, PROTOCOL, type Protocol } from './folder.js';

const LIMITS: Limits = { kills: 3, powerLosses: 2, failures: 1, acceptFailures: false };
const ACCEPTING: Limits = { ...LIMITS, failures: 2, acceptFailures: true };

describe('state model of one folder', () => {
  it.each([
    ['a folder with failures stays in TRANSITION', LIMITS],
    ['with --accept-failures', ACCEPTING],
  ])('keeps every promise in every reachable state and always reaches the end state: %s', (_how, limits) => {
    const result = explore(PROTOCOL, limits);
    expect(result.violation).toBeUndefined();
    expect(result.stuck).toBe(0);
    // Thousands of states: an enumeration that stops early would prove nothing.
    expect(result.states).toBeGreaterThan(5_000);
  });

  // Each wrong order must be caught; otherwise the model could not fail.
  const mutations: readonly (readonly [keyof Protocol, RegExp, Limits?])[] = [
    ['checkAfterLock', /promise/],
    ['recordReadUnderLock', /promise 2/],
    ['recordFirst', /promise 2/],
    ['syncBeforePublish', /promise 4/],
    ['removeAfterPublish', /promise/],
    ['lockUntilPublished', /promise/],
    ['failuresStayInTransition', /promise 4/],
    ['failuresOnRecordFirst', /promise/, ACCEPTING],
    ['removalSparesFailures', /promise 1: message 1 has no name/, ACCEPTING],
    ['retrySyncsFirst', /promise 4/, ACCEPTING],
  ];
  for (const [rule, expected, limits = LIMITS] of mutations) {
    it(`finds the state that breaks a promise without the rule ${rule}`, () => {
      const result = explore({ ...PROTOCOL, [rule]: false }, limits);
      expect(result.violation?.what).toMatch(expected);
    });
  }
});
