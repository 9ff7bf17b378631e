/** Made-up measurements. */
import type { Sample } from '../../bench/plan.js';

export function sampleOf(given: Partial<Sample> & Pick<Sample, 'name' | 'kind' | 'seconds'>): Sample {
  return {
    part: 'store',
    cold: false,
    across: false,
    engine: given.kind === 'messages' ? 'native' : null,
    threads: given.kind === 'messages' ? 2 : null,
    command: `run ${given.name}`,
    messages: 1000,
    bytes: 8_192_000,
    folders: 10,
    secondsSynced: given.seconds + 0.1,
    peakAnonymous: 5e7,
    cpuSeconds: given.seconds,
    bytesRead: 8_192_000,
    times: null,
    disks: [],
    series: [],
    extra: {},
    ...given,
  };
}
