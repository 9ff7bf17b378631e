/**
 * A sample of the kill campaign. Every effective call: `npm run kill`, or `MAILHAUL_KILL_EVERY=1 npm test`.
 */
import { describe, expect, it } from 'vitest';
import { engines, runCampaigns } from './campaign.js';

const every = Number(process.env.MAILHAUL_KILL_EVERY ?? '23');

describe('killed at an effective call, and run again', () => {
  it('reaches the result of a run that was never interrupted', () => {
    if (every > 1) console.log(`Kill test: every ${every}th effective call; all of them with npm run kill.`);
    const campaigns = runCampaigns({ every, engines: engines() });
    for (const { name, calls, killed, problems } of campaigns) {
      expect(problems, name).toEqual([]);
      expect(killed, name).toBe(Math.ceil(calls / every));
      expect(calls, name).toBeGreaterThan(50);
    }
  }, 3_600_000);
});
