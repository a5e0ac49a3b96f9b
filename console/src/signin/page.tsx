// The way in: with an operator's token, or with an application's key and secret. Not here: what becomes of them (session.ts).

import { useState } from 'preact/hooks'
import { Mark } from '../parts/icon.tsx'
import { Notice } from '../parts/notice.tsx'
import { Problem } from '../parts/problem.tsx'
import { type Credentials, signIn } from '../session.ts'
import './signin.css'
import { words } from './words.ts'

type Kind = Credentials['kind']

export const SignIn = ({ ended }: { ended: boolean }) => {
  const say = words()
  const [kind, setKind] = useState<Kind>('operator')
  const [isBusy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const [texts, setTexts] = useState({ operatorToken: '', appKey: '', appSecret: '' })
  const canSign = window.isSecureContext
  const isOff = isBusy || (kind === 'application' && !canSign)

  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    if (isOff) return
    const { operatorToken, appKey, appSecret } = texts
    setBusy(true)
    setError(null)
    try {
      await signIn(kind === 'operator' ? { kind, operatorToken } : { kind, appKey, appSecret })
    } catch (failed) {
      setError(failed)
      setBusy(false)
    }
  }
  const field = (name: keyof typeof texts, label: string, type: 'text' | 'password') => (
    <label class="field">
      <span>{label}</span>
      <input
        name={name}
        type={type}
        value={texts[name]}
        onInput={event => setTexts({ ...texts, [name]: event.currentTarget.value.trim() })}
        required
        maxLength={128}
        spellcheck={false}
        autocapitalize="off"
        autocomplete="off"
      />
    </label>
  )
  return (
    <main class="alone sign-in">
      <header>
        <Mark />
        <div>
          <h1>Downlink</h1>
          <p class="faint">{say.lead}</p>
        </div>
      </header>
      {ended && error === null && <Notice kind="info">{say.ended}</Notice>}
      <form onSubmit={submit} class="card">
        <fieldset class="tabs">
          <legend class="unseen">{say.as}</legend>
          {(['operator', 'application'] as const).map(choice => (
            <label key={choice}>
              <input
                type="radio"
                name="kind"
                checked={kind === choice}
                onChange={() => {
                  setKind(choice)
                  setError(null)
                }}
              />
              <span>{say[choice]}</span>
            </label>
          ))}
        </fieldset>
        {kind === 'operator' ? (
          <>
            {field('operatorToken', say.token, 'password')}
            <p class="faint">{say.tokenHint}</p>
            <pre class="value">downlink console token --org ORG --operator NAME</pre>
            <p class="faint">{say.tokenKept}</p>
          </>
        ) : (
          <>
            {field('appKey', say.appKey, 'text')}
            {field('appSecret', say.appSecret, 'password')}
            <p class="faint">{say.secretKept}</p>
            {!canSign && <Notice kind="bad">{say.insecure}</Notice>}
          </>
        )}
        <Problem error={error} />
        <button type="submit" class="primary wide" disabled={isOff}>
          {isBusy ? say.going : say.go}
        </button>
      </form>
    </main>
  )
}
