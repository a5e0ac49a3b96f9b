// Numbers as they are typed, and what becomes of them on the way: JavaScript keeps a whole number exactly up to 2^53 and about 17 digits of any other, and the
// server refuses whole numbers beyond. Nothing is rounded unseen: what would become another number is a fault. Pure. Not here: ranges (values.ts).

/** What is wrong with a number as it was typed. `nearest`: what it would become. */
export type NumberFault =
  | { readonly fault: 'number' }
  | { readonly fault: 'wholeTooLarge' }
  | { readonly fault: 'tooLarge' }
  | { readonly fault: 'rounded'; readonly nearest: string }

/** `12`, `-0.5`, `.5`, `6.02e23`, and a plus before it; with a point, whatever the reader's language. */
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/
/** from here on JSON is written with an exponent, and is taken as it is */
const WITH_EXPONENT = 1e21

/** The number that a text is, if it is exactly that one. */
export function readNumber(text: string): { readonly value: number } | NumberFault {
  if (!NUMBER.test(text)) return { fault: 'number' }
  const value = Number(text)
  if (!Number.isFinite(value)) return { fault: 'tooLarge' }
  const size = Math.abs(value)
  if (Number.isInteger(value) && size > 2 ** 53 && size < WITH_EXPONENT) return { fault: 'wholeTooLarge' }
  const [typed, kept] = [decimal(text), decimal(String(value))]
  if (typed.digits === kept.digits && (typed.digits === '' || typed.exponent === kept.exponent)) return { value }
  return { fault: 'rounded', nearest: String(value) }
}

/** digits x 10^exponent, without zeros at either end of the digits: one form for each size. The sign is left out. */
function decimal(text: string): { readonly digits: string; readonly exponent: number } {
  const [mantissa = '', power = '0'] = text.replace(/^[+-]/, '').split(/[eE]/)
  const [whole = '', fraction = ''] = mantissa.split('.')
  const digits = (whole + fraction).replace(/^0+/, '')
  const end = digits.replace(/0+$/, '')
  return { digits: end, exponent: Number(power) - fraction.length + (digits.length - end.length) }
}
