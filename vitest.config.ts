import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take a minute or so, longest first. Begun last, one of them would keep all but one processor waiting. */
const LONG = [
  'e2e/exit-codes',
  'upgrade/reset-retry',
  'e2e/hostile-store',
  'upgrade/in-use',
  'upgrade/messages',
  'upgrade/lifecycle',
  'upgrade/removal-failures',
  'e2e/single-copy',
  'upgrade/removal',
  'engine/giant',
  'upgrade/restored',
  'e2e/hostile-configuration',
  'upgrade/mounted-below',
  'upgrade/reset-command',
  'e2e/profile',
  'bench/run',
  'upgrade/additions',
  'upgrade/reset-ends',
  'upgrade/reset-restores',
];

/** Vitest's own order goes by times of earlier runs, and a fresh clone has none. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const at = LONG.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return at < 0 ? LONG.length : at;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Tests change their user and start real processes: files run in forked processes. One more than there are
    // processors: a test often waits for one process, which waits for a disk.
    pool: 'forks',
    maxWorkers: Math.max(2, availableParallelism() + 1),
    sequence: { sequencer: LongestFirst },
  },
});
