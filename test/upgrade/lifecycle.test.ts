/** What happens to a store between two runs (4x-store.md, promises 2 and 4); the lives of the campaign `lifecycle`. */
import { describe, it } from 'vitest';
import { live } from '../campaign/lifecycle/life.js';
import { LIVES } from '../campaign/lifecycle/lives.js';
import { engineOptions } from '../support/site.js';

const [engine = '--no-native'] = engineOptions();

describe('between two runs', () => {
  for (const life of LIVES) it(life.name, () => live(life, engine), 300_000);
});
