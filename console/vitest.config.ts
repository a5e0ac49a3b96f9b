// The console's own tests: a real server with real devices, looked at in a real browser. `npm run test:console` builds both and runs them.

import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { alias: { '@downlink/client': `${import.meta.dirname}/../packages/client/src/index.ts` } },
  test: {
    dir: import.meta.dirname,
    include: ['test/**/*.test.ts'],
    pool: 'threads',
    isolate: false,
    // Each file has a browser and a server; more of them at a time than there are cores would only wait for each other.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // What is waited for comes by itself; how soon is for console/latency.ts to say.
    expect: { poll: { timeout: 20_000 } },
  },
})
