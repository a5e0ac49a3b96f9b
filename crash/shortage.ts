// A disk that is full when we say so: a small tmpfs where this process may mount one (root), else a limit on the size of the server's files (prlimit),
// under which writes fail with EFBIG instead of ENOSPC. A loop device would need the same right as the tmpfs, so it is not tried.

import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Launch } from './place.ts'

const DISK_BYTES = 8_388_608
/** left when it is full: some commands still fit, so that it becomes full in the middle of work */
const LEFT_BYTES = 200_000

export interface Shortage {
  /** how it is done, for people */
  readonly how: string
  /** how to start a server there, now */
  launch(): Launch
  /** hardly any room from now on */
  begin(pid: number): void
  end(pid: number): void
  remove(): void
}

export function shortageIn(folder: string): Shortage {
  const data = join(folder, 'small-disk')
  mkdirSync(data)
  return smallDisk(data) ?? sizeLimit(data)
}

function smallDisk(data: string): Shortage | null {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', data], { stdio: 'pipe' })
  } catch (error) {
    // Not root, no such right in this container, no such program: then there is another way.
    if (error instanceof Error) return null
    throw error
  }
  const ballast = join(data, 'ballast')
  return {
    how: `a tmpfs of ${DISK_BYTES / 1_048_576} MB`,
    launch: () => ({ data }),
    begin: () => {
      const { bavail, bsize } = statfsSync(data)
      writeFileSync(ballast, Buffer.alloc(bavail * bsize - LEFT_BYTES))
    },
    end: () => rmSync(ballast),
    // Lazily: a process that we have just killed may still be leaving.
    remove: () => void execFileSync('umount', ['-l', data], { stdio: 'pipe' }),
  }
}

function sizeLimit(data: string): Shortage {
  const limit = (bytes: string) => `--fsize=${bytes}:`
  let current = 'unlimited'
  const set = (pid: number, bytes: string) => {
    current = bytes
    execFileSync('prlimit', ['--pid', String(pid), limit(bytes)], { stdio: 'pipe' })
  }
  return {
    how: 'a limit on the size of its files (RLIMIT_FSIZE), since no tmpfs can be mounted here',
    launch: () => ({ data, through: ['prlimit', limit(current)] }),
    begin: pid => set(pid, String(statSync(join(data, 'downlink.db-wal')).size + LEFT_BYTES)),
    end: pid => {
      current = 'unlimited'
      execFileSync('prlimit', ['--pid', String(pid), limit(current)], { stdio: 'pipe' })
    },
    remove: () => undefined,
  }
}
