/** The long forms of the campaigns that kill work on two grounds at once; each ground is one process at a time. */
import type { CampaignOptions, CampaignOutcome } from '../types.js';
import { type Ground, makeGround } from './ground.js';

/** What a campaign has found so far. */
export interface Tally extends CampaignOutcome {
  cases: number;
  readonly problems: string[];
  readonly notes: string[];
}

/** Makes the grounds and uses each; they are removed at the end, also at that of the process. */
export async function inLanes({ long, seed }: CampaignOptions, use: (ground: Ground) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: long ? 2 : 1 }, () => onGround(seed, use)));
}

async function onGround(seed: string, use: (ground: Ground) => Promise<void>): Promise<void> {
  const ground = makeGround(seed);
  process.once('exit', ground.remove);
  try {
    ground.keep('fresh');
    await use(ground);
  } finally {
    process.off('exit', ground.remove);
    ground.remove();
  }
}
