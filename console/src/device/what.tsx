// What a command is, in one cell: its name, which leads to its page, and the identifier that engineers know it by.

import type { Command } from '@downlink/client'
import { Link } from 'wouter-preact'
import { nameOf } from '../words.ts'
import { words } from './words.ts'

type Shown = Pick<Command, 'commandId' | 'commandName' | 'tslIdentifier' | 'pendingTtl'>

export const What = ({ command: { commandId, commandName, tslIdentifier, pendingTtl } }: { command: Shown }) => {
  const name = nameOf(commandName)
  return (
    <span class="what">
      <Link href={`/commands/${commandId}`} title={commandId}>
        {name}
      </Link>
      {name.toLowerCase() !== tslIdentifier.toLowerCase() && <code class="faint">{tslIdentifier}</code>}
      {pendingTtl === 0 && (
        <span class="instant" title={words().instantHint}>
          {words().instant}
        </span>
      )}
    </span>
  )
}
