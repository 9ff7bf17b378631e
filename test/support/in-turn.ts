/**
 * Tests of what both engines share (the plan, the record, publication, removal) start many processes: there the
 * engines take turns, a test with each. Campaigns run all with both.
 */
import { it, type TestContext } from 'vitest';
import { engineOptions } from './site.js';

type Test = (name: string, run: (context: TestContext) => void | Promise<void>, timeoutMs?: number) => void;

/** `it` for one engine: declares the tests whose turn it is, all of them when there is one engine only. */
export function inTurn(engine: string): Test {
  const engines: readonly string[] = engineOptions();
  let turn = engines.indexOf(engine);
  return (name, run, timeoutMs) => {
    if (turn++ % engines.length === 0) it(name, run, timeoutMs);
  };
}
