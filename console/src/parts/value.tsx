// Inputs and outputs as they are: JSON, short on one line, long on several.

/** characters up to which it stands on one line */
const LINE_CHARS = 60

/** On one line, cut where it is long: for lists. The whole is on a pointer's hover. */
export const ShortValue = ({ value }: { value: unknown }) => {
  const text = JSON.stringify(value) ?? ''
  return (
    <code class="value" title={text}>
      {text.length > LINE_CHARS ? `${text.slice(0, LINE_CHARS - 1)}…` : text}
    </code>
  )
}

export const Value = ({ value }: { value: unknown }) => {
  const line = JSON.stringify(value) ?? ''
  return line.length <= LINE_CHARS ? (
    <code class="value">{line}</code>
  ) : (
    <pre class="value">{JSON.stringify(value, null, 2)}</pre>
  )
}
