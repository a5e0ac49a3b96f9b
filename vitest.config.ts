import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'threads',
    isolate: false,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: ['text', 'json-summary'],
      reportsDirectory: 'coverage',
      // What runs in a process of its own (the command line, crashes) is not counted, so the whole is higher than it shows.
      thresholds: { lines: 90, 'src/core/**': { lines: 100 } },
    },
  },
})
