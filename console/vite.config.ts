// How the console is built: static files into dist/console, compressed ahead, with the sizes printed. `npm run build` does it; `npm run console:dev` serves the
// sources instead, and passes calls on to a server on this machine. Not here: how the files are served (src/http/console.ts).

import { defineConfig } from 'vite'
import { compressed } from './compressed.ts'

/** where calls go while the console is developed */
const SERVER = process.env.DOWNLINK_SERVER ?? 'http://127.0.0.1:8080'
/** Host as the browser sent it: a server in open mode compares it with Origin */
const proxied = { target: SERVER, changeOrigin: false }

export default defineConfig({
  root: import.meta.dirname,
  base: '/console/',
  resolve: { alias: { '@downlink/client': `${import.meta.dirname}/../packages/client/src/index.ts` } },
  build: {
    outDir: '../dist/console',
    emptyOutDir: true,
    target: 'es2022',
    // What would be put into the page as a data: text is a file instead: the policy of the page allows no other.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  plugins: [compressed()],
  server: {
    host: '127.0.0.1',
    proxy: Object.fromEntries(
      ['/v1', '/apim-token-service', '/connect-service', '/model-service'].map(path => [path, proxied]),
    ),
  },
})
