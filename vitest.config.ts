import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Tests share two cores and start real processes: files run in forked processes, few at once.
    pool: 'forks',
    maxWorkers: 2,
  },
});
