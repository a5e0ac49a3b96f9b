// Names and secrets that are drawn, as long as the vendor's own. Pure: chance comes in. Not here: whether one is taken (registrar.ts).

const ALPHANUMERICS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/** So many bytes that nobody can guess. */
export type RandomBytes = (count: number) => Uint8Array

/** Each of the 62 as likely as the others: a byte from which they could not be told evenly is passed over. */
export function alphanumerics(count: number, randomBytes: RandomBytes): string {
  const fair = 256 - (256 % ALPHANUMERICS.length)
  let text = ''
  while (text.length < count)
    for (const byte of randomBytes(count - text.length))
      if (byte < fair) text += ALPHANUMERICS.charAt(byte % ALPHANUMERICS.length)
  return text
}

export const newAssetId = (randomBytes: RandomBytes): string => alphanumerics(8, randomBytes)
export const newProductKey = (randomBytes: RandomBytes): string => alphanumerics(8, randomBytes)
export const newDeviceKey = (randomBytes: RandomBytes): string => alphanumerics(10, randomBytes)
/** Of a device or a product: 119 bits. */
export const newSecret = (randomBytes: RandomBytes): string => alphanumerics(20, randomBytes)

/** A random UUID (RFC 9562, version 4): some of the vendor's clients take an application's key and secret in no other form. 122 bits. */
export function newUuid(randomBytes: RandomBytes): string {
  const bytes = Buffer.from(randomBytes(16))
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
