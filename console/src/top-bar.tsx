// The bar above each page: whether what is below is live, who is signed in, and what the reader chooses. Not here: where one can go (app.tsx).

import { durationText, now } from './clock.ts'
import { connection } from './live.ts'
import { Icon } from './parts/icon.tsx'
import { preferences, type Theme, type Zone } from './preferences.ts'
import { changeOrganization, type Session, signOut } from './session.ts'
import { shell } from './shell-words.ts'
import { type Language, language } from './words.ts'

/** ms before its end at which the end of an operator's token is spoken of */
const ENDS_SOON_MS = 3_600_000

export const TopBar = ({ session }: { session: Session }) => {
  const words = shell()
  return (
    <header class="top">
      <Connection />
      <div class="gap" />
      <Choice<Zone>
        label={words.zone}
        value={preferences.zone.value ?? 'viewer'}
        choices={{ viewer: words.viewer, device: words.device }}
        onChoose={zone => {
          preferences.zone.value = zone
        }}
      />
      <Choice<Theme | 'system'>
        label={words.theme}
        value={preferences.theme.value ?? 'system'}
        choices={{ system: words.system, light: words.light, dark: words.dark }}
        onChoose={theme => {
          preferences.theme.value = theme === 'system' ? null : theme
        }}
      />
      <Choice<Language>
        label={words.language}
        value={language.value}
        choices={{ en: 'English', zh: '简体中文' }}
        onChoose={chosen => {
          preferences.language.value = chosen
        }}
      />
      <Who session={session} />
    </header>
  )
}

/** Told to who cannot see it, too, whenever it changes. */
const Connection = () => {
  const words = shell()
  const { value } = connection
  return (
    <span
      class={`connection connection-${value}`}
      title={words.connectionHint[value]}
      role="status"
      data-connection={value}
    >
      {words.connection[value]}
    </span>
  )
}

const Who = ({ session }: { session: Session }) => {
  const words = shell()
  const { orgName, orgId, operator, appKey, isOpen, organizations, expireAt } = session
  const leftMs = expireAt === null ? null : expireAt - now.value
  return (
    <div class="who">
      {organizations.length > 1 ? (
        <Choice
          label={words.organization}
          value={orgId}
          choices={Object.fromEntries(organizations.map(({ orgId, name }) => [orgId, name]))}
          onChoose={changeOrganization}
        />
      ) : (
        <span title={orgId}>{orgName}</span>
      )}
      {!isOpen && (
        <span class="faint as" title={`${words.signedInAs} ${appKey}`}>
          {operator ?? `${appKey.slice(0, 8)}…`}
        </span>
      )}
      {leftMs !== null && leftMs < ENDS_SOON_MS && <span class="ends">{words.tokenEnds(durationText(leftMs))}</span>}
      {!isOpen && (
        <button
          type="button"
          class="quiet icon-only"
          onClick={signOut}
          aria-label={words.signOut}
          title={words.signOut}
        >
          <Icon name="out" />
        </button>
      )}
    </div>
  )
}

function Choice<T extends string>({
  label,
  value,
  choices,
  onChoose,
}: {
  label: string
  value: T
  choices: Readonly<Record<T, string>>
  onChoose: (chosen: T) => void
}) {
  return (
    <select
      class="quiet"
      aria-label={label}
      title={label}
      value={value}
      onChange={event => onChoose(event.currentTarget.value as T)}
    >
      {(Object.entries(choices) as [T, string][]).map(([choice, word]) => (
        <option key={choice} value={choice}>
          {word}
        </option>
      ))}
    </select>
  )
}
