// Serial numbers of certificates, in the one form in which they are stored and compared. Not here: certificates.

import { CERTIFICATE_SERIAL_MAX_DIGITS } from './limits.ts'

/**
 * `4A:01:F3`, `4a01f3` and `004A01F3` are one number: `4a01f3`. Null: no hexadecimal number, or one with more digits than any certificate may have.
 */
export function normalSerial(text: string): string | null {
  if (!/^[0-9a-fA-F]+(:[0-9a-fA-F]+)*$/.test(text)) return null
  const digits = text
    .replaceAll(':', '')
    .toLowerCase()
    .replace(/^0+(?=.)/, '')
  return digits.length <= CERTIFICATE_SERIAL_MAX_DIGITS ? digits : null
}
