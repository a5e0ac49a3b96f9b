// The files of --tls-cert, --tls-key and --tls-client-ca, read and checked before anything listens. Not here: TLS itself (mqtt/listener.ts).

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { TlsFiles } from './config.ts'
import { printable } from './terminal.ts'

/** One of the TLS files is not what its option asks for; the message names the option and the file, and holds nothing of a key. */
export class TlsFileWrong extends Error {
  override readonly name = 'TlsFileWrong'
}

/** PEM texts that belong together. */
export interface TlsTexts {
  readonly cert: Buffer
  readonly key: Buffer
  readonly ca: Buffer | null
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/** Throws TlsFileWrong where a file cannot be read, holds no certificate or key, or the key is another certificate's. */
export function readTlsFiles({ certFile, keyFile, clientCaFile }: TlsFiles): TlsTexts {
  const cert = readPem('tls-cert', certFile)
  const [own] = certificates('tls-cert', certFile, cert)
  const key = readPem('tls-key', keyFile)
  if (!own?.checkPrivateKey(privateKey(keyFile, key)))
    throw wrong(
      'tls-key',
      keyFile,
      "is not the key of the first certificate in --tls-cert, which must be the server's own",
    )
  proveUsable('tls-cert', certFile, { cert, key })
  if (clientCaFile === null) return { cert, key, ca: null }
  const ca = readPem('tls-client-ca', clientCaFile)
  certificates('tls-client-ca', clientCaFile, ca)
  proveUsable('tls-client-ca', clientCaFile, { ca })
  return { cert, key, ca }
}

type TlsOption = 'tls-cert' | 'tls-key' | 'tls-client-ca'

const wrong = (option: TlsOption, path: string, detail: string): TlsFileWrong =>
  new TlsFileWrong(`--${option}: ${printable(path)} ${detail}`)

function readPem(option: TlsOption, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw wrong(option, path, `cannot be read (${messageOf(error)}); give the path of a PEM file`)
  }
}

/** All of them are read, at least one: OpenSSL itself takes a file without any, and then trusts nobody. */
function certificates(option: TlsOption, path: string, pem: Buffer): X509Certificate[] {
  const blocks = pem.toString('latin1').match(PEM_CERTIFICATE) ?? []
  if (blocks.length === 0)
    throw wrong(option, path, 'holds no certificate; give a PEM file that has -----BEGIN CERTIFICATE-----')
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block)
    } catch (error) {
      throw wrong(option, path, `holds a certificate, number ${index + 1}, that cannot be read (${messageOf(error)})`)
    }
  })
}

function privateKey(path: string, pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (error) {
    const detail = `holds no private key that can be used (${messageOf(error)}); give a PEM file with one, without a passphrase`
    throw wrong('tls-key', path, detail)
  }
}

/** OpenSSL has rules of its own, such as on keys that are too short. */
function proveUsable(option: TlsOption, path: string, files: SecureContextOptions): void {
  try {
    createSecureContext(files)
  } catch (error) {
    throw wrong(option, path, `cannot be used for TLS (${messageOf(error)}); give another`)
  }
}

const messageOf = (error: unknown): string => printable(error instanceof Error ? error.message : String(error))
