import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Tests change their user and start real processes: files run in forked processes, one a processor.
    pool: 'forks',
    maxWorkers: Math.max(2, availableParallelism()),
  },
});
