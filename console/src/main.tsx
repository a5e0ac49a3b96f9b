// Begins: styles, the reader's preferences, who is signed in, and the page. Not here: what is on it (app.tsx).

import { render } from 'preact'
import './style/tokens.css'
import './style/base.css'
import './style/parts.css'
import './style/shell.css'
import { App } from './app.tsx'
import { begin } from './session.ts'

const root = document.getElementById('app')
if (root === null) throw new Error('index.html has no #app')
render(<App />, root)
void begin()
