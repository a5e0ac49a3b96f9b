// What all fields of one form share, however deep they stand in it. Not here: the fields.

import { createContext } from 'preact'
import { useContext } from 'preact/hooks'
import { describedBy } from './fault-text.tsx'

/** What is shown to be wrong at a field. */
export interface FaultShown {
  readonly text: string
  /** in whose words it is: those of the browser and of the server are English */
  readonly by: 'form' | 'browser' | 'server'
}

export interface WithinForm {
  /** of the element of a field, by where it is */
  idOf(path: string): string
  /** null: nothing, or nothing yet: who is still typing is left alone */
  faultAt(path: string): FaultShown | null
  /** The field was left. */
  touch(path: string): void
  /** in which times are typed and shown; undefined: the reader's own */
  readonly zone: string | undefined
  /** of the device */
  readonly timezone: string
}

export const FormContext = createContext<WithinForm | null>(null)

export function useForm(): WithinForm {
  const form = useContext(FormContext)
  if (form === null) throw new Error('a field outside of a form')
  return form
}

/** What a control of a field needs of it, so that its rule and what is wrong with it are told to who cannot see them. */
export function useAria(path: string, isNeeded: boolean) {
  const form = useForm()
  const id = form.idOf(path)
  const fault = form.faultAt(path)
  return {
    ...{ id, 'aria-invalid': fault !== null, 'aria-required': isNeeded },
    'aria-describedby': describedBy(id, fault),
    onBlur: () => form.touch(path),
  } as const
}
