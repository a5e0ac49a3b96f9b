// What a language needs before its programs can run: its tools, the vendor's package, the build. What cannot be had is a reason to skip, what is broken a
// failure. Not here: what the programs are told (scenarios).

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { run } from './child.ts'
import type { Launch } from './program.ts'

export type Made =
  | { readonly ok: true; readonly launch: Launch }
  /** not on this machine: skipped */
  | { readonly ok: false; readonly missing: string }
  /** here, and does not work */
  | { readonly ok: false; readonly broken: string }

const VERSION_WITHIN_MS = 20_000
/** a first download of plugins and jars over a slow line; a few seconds afterwards */
const INSTALL_WITHIN_MS = 240_000
const COMPILE_WITHIN_MS = 60_000

const JAVA_AT_LEAST = 17
const PYTHON_AT_LEAST = 11

/** Compiles one module, from what Maven has already where that is enough. */
export async function makeJava(folder: string, module: 'application' | 'device' | 'http', main: string): Promise<Made> {
  const missing =
    (await javaMissing(folder)) ?? (await tool(folder, 'mvn', ['-version'], /Apache Maven 3\./, 'Maven 3'))
  if (missing !== null) return { ok: false, missing }
  const args = ['-q', '-B', '-ntp', '-Dstyle.color=never', '-pl', module, '-am', 'compile']
  const known = await run({ command: 'mvn', args: ['-o', ...args], cwd: folder }, COMPILE_WITHIN_MS)
  const built = /offline mode/.test(known.stdout)
    ? await run({ command: 'mvn', args, cwd: folder }, INSTALL_WITHIN_MS)
    : known
  if (built.end !== 'exit code 0') {
    const why = firstError(built)
    const isUnavailable = /not be resolved|not resolve|not find artifact|not done within/i.test(why)
    return isUnavailable ? { ok: false, missing: why } : { ok: false, broken: why }
  }
  const target = join(folder, module, 'target')
  const jars = readFileSync(join(target, 'class-path'), 'utf8').trim()
  const classPath = [join(target, 'classes'), jars].join(delimiter)
  return { ok: true, launch: { command: 'java', args: ['-cp', classPath, main], cwd: folder } }
}

async function javaMissing(folder: string): Promise<string | null> {
  const { stdout, said, end } = await run({ command: 'javac', args: ['-version'], cwd: folder }, VERSION_WITHIN_MS)
  const [, version = '0'] = /javac (\d+)/.exec(stdout + said) ?? []
  if (Number(version) >= JAVA_AT_LEAST) return null
  return end === 'exit code 0' ? `javac is ${version}, and ${JAVA_AT_LEAST} is needed` : `no JDK: ${end}`
}

/** Installs the pinned packages into an environment of its own, once for each content of the list. */
export async function makePython(folder: string, cache: string): Promise<Made> {
  const works = /^Python 3\.(\d+)/
  const { stdout, end } = await run({ command: 'python3', args: ['--version'], cwd: folder }, VERSION_WITHIN_MS)
  const [, minor = '0'] = works.exec(stdout) ?? []
  if (Number(minor) < PYTHON_AT_LEAST)
    return {
      ok: false,
      missing: end === 'exit code 0' ? `${stdout}, and 3.${PYTHON_AT_LEAST} is needed` : `no python3: ${end}`,
    }
  const list = join(folder, 'requirements.txt')
  const content = createHash('sha256').update(readFileSync(list)).update(stdout).digest('hex')
  const environment = join(cache, 'python')
  const mark = join(environment, 'installed')
  const python = join(environment, 'bin', 'python')
  if (!existsSync(mark) || readFileSync(mark, 'utf8') !== content) {
    rmSync(environment, { recursive: true, force: true })
    mkdirSync(cache, { recursive: true })
    const created = await run({ command: 'python3', args: ['-m', 'venv', environment], cwd: folder }, INSTALL_WITHIN_MS)
    if (created.end !== 'exit code 0') return { ok: false, missing: `python3 -m venv: ${last(created)}` }
    const pip = ['-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check', '--requirement', list]
    const installed = await run({ command: python, args: pip, cwd: folder }, INSTALL_WITHIN_MS)
    if (installed.end !== 'exit code 0') return { ok: false, missing: `pip install: ${last(installed)}` }
    writeFileSync(mark, content)
  }
  return { ok: true, launch: { command: python, args: [join(folder, 'device.py')], cwd: folder } }
}

async function tool(
  cwd: string,
  command: string,
  args: string[],
  expected: RegExp,
  name: string,
): Promise<string | null> {
  const { stdout, end } = await run({ command, args, cwd }, VERSION_WITHIN_MS)
  if (expected.test(stdout)) return null
  return end === 'exit code 0' ? `${command} is not ${name}` : `no ${name}: ${end}`
}

/** characters of a reason */
const REASON_CHARS = 300
/** without the address of the registry, which says nothing of what is missing */
const plain = (line: string): string =>
  line
    .replace(/ in \S+ \(\S+\).*$| was not found in .*$/, found => (found.startsWith(' in') ? '' : ' was not found'))
    .slice(0, REASON_CHARS)
/** what Maven puts before its lines on a terminal, and elsewhere too */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is the control character that is to go
const COLOUR = /\x1b\[\d*m/g

function firstError({ stdout, end }: { stdout: string; end: string }): string {
  if (end !== 'exit code 1') return end
  const lines = stdout.replace(COLOUR, '').split('\n')
  return plain(lines.find(line => line.startsWith('[ERROR] '))?.slice('[ERROR] '.length) ?? end)
}

const last = ({ said, end }: { said: string; end: string }): string => plain(said.trim().split('\n').at(-1) || end)
