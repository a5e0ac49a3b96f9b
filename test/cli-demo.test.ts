// `downlink demo` and `npm start`, as a newcomer runs them.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdtempSync, readdirSync, symlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Program, Running, root } from './rig/program.ts'

let program: Program
beforeAll(() => {
  program = new Program()
  for (const name of ['scripts', 'examples']) cpSync(join(root, name), join(program.folder, name), { recursive: true })
  symlinkSync(join(root, 'src'), join(program.folder, 'src'))
})
afterAll(() => program.remove())

/** A temporary folder of its own, to see what is left in it. */
function ownTemp(): { env: { TMPDIR: string }; left(): string[] } {
  const TMPDIR = mkdtempSync(join(program.folder, 'tmp-'))
  return { env: { TMPDIR }, left: () => readdirSync(TMPDIR) }
}

describe('demo', () => {
  it('tells its story, checks the end, and leaves nothing behind', async () => {
    const temp = ownTemp()
    const { code, stdout, stderr } = await program.run(['demo'], temp.env)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(temp.left()).toEqual([])
    const [, end = ''] = stdout.split('7. How the five ended:')
    const states = [...end.matchAll(/^ {3}\d{19} {2}\S+ \S+ {2}(\w+)/gm)].map(match => match[1])
    expect(states).toEqual(['cancelled', 'expired', 'cancelled', 'succeeded', 'expired'])
    expect(stdout.match(/ received /g)).toHaveLength(1)
    expect(end).toContain('As told: one was delivered, and the other four never left the server.')
    expect(stdout).not.toContain('\u001b')
  })

  it('can be interrupted, and leaves nothing behind then either', async () => {
    const temp = ownTemp()
    const running = program.start(['demo'], temp.env)
    await running.printed(/4\. The third/)
    expect(temp.left()).toHaveLength(1)
    const { code, stderr } = await running.stop('SIGINT')
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'downlink demo: interrupted\n' })
    expect(temp.left()).toEqual([])
  })
})

describe('npm start', () => {
  const start = (...args: string[]) => new Running(join(program.folder, 'scripts/start.mjs'), args, program.folder, {})

  it('runs server and device, prints commands that work as they are, and ends with them', async () => {
    const running = start('--http', '0', '--mqtt', '0')
    try {
      await running.printed(/mqtt_01 connected/)
      const lines = running.stdout.split('\n').filter(line => line.startsWith('  node dist/main.js command '))
      const printed: string[] = []
      for (const line of lines) {
        const shell = spawn('sh', ['-c', line.replace(/^ *node /, `${process.execPath} `)], { cwd: program.folder })
        let text = ''
        shell.stdout.setEncoding('utf8').on('data', chunk => {
          text += chunk
        })
        const [code] = await once(shell, 'close')
        expect(code, line).toBe(0)
        printed.push(text)
      }
      expect(printed).toEqual([
        expect.stringMatching(/^\d{19} succeeded\n$/),
        expect.stringMatching(/^\d{19} succeeded\noutput {"offset":1.5,"passes":3,"finishedAt":\d{13}}\n$/),
        expect.stringMatching(/^\d{19} created, expires in 600 s/),
        expect.stringMatching(/ created +set Int_value +7\n$/),
        expect.stringMatching(/ cancelled +set Int_value +7\n$/),
      ])
      expect(existsSync(join(program.folder, 'data/demo.db'))).toBe(true)
    } finally {
      running.child.kill('SIGINT')
      running.child.kill('SIGINT')
    }
    const { code, stdout } = await running.ended
    expect(code).toBe(0)
    expect(stdout).toMatch(/mqtt_01 answered \d{19} 200\n/)
    const [, url = ''] = /listening http (\S+)/.exec(stdout) ?? []
    await expect(fetch(`${url}/healthz`)).rejects.toThrow()
  })

  it('says which port is taken and ends with a failure', async () => {
    const taken = createServer()
    taken.listen(0, '127.0.0.1')
    await once(taken, 'listening')
    try {
      const { port } = taken.address() as { port: number }
      const { code, stderr } = await start('--http', String(port), '--mqtt', '0', '--store', 'memory:').ended
      expect(code).toBe(1)
      expect(stderr).toContain('the port is taken')
      expect(stderr).toContain('--http [host:]port')
      expect(stderr).toContain('The server ended')
    } finally {
      taken.close()
    }
  })
})
