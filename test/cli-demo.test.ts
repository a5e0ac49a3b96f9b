// `downlink demo` and `npm start`, as a newcomer runs them.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serveSpec } from '../src/cli/config.ts'
import { helpOf } from '../src/cli/help.ts'
import { Program, Running, root } from './rig/program.ts'

let program: Program
beforeAll(() => {
  program = new Program()
  for (const name of ['scripts', 'examples', 'console'])
    cpSync(join(root, name), join(program.folder, name), { recursive: true })
  for (const name of ['src', 'packages']) symlinkSync(join(root, name), join(program.folder, name))
  // Stands for the console as it is built, which nobody opens here. Both are newer than what they are made of.
  mkdirSync(join(program.folder, 'dist/console'))
  writeFileSync(join(program.folder, 'dist/console/index.html'), '')
  const now = new Date()
  utimesSync(program.main, now, now)
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
    expect(stdout).toMatch(/^2\. .*: the second and the fifth for 2 s only, the others for 10 minutes\.$/m)
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

/** What each command prints when the lines before it were pasted as well. */
async function pasted(lines: readonly string[]): Promise<string[]> {
  const exports = lines.filter(line => line.startsWith('  export '))
  const printed: string[] = []
  for (const line of lines.filter(line => line.startsWith('  node '))) {
    const script = [...exports, line.replace(/^ *node /, `${process.execPath} `)].join('\n')
    const env = { PATH: process.env.PATH ?? '' }
    const shell = spawn('sh', ['-c', script], { cwd: program.folder, env, stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    shell.stdout.setEncoding('utf8').on('data', chunk => {
      text += chunk
    })
    const [code] = await once(shell, 'close')
    expect(code, line).toBe(0)
    printed.push(text)
  }
  return printed
}

const grant = { resource: 'Asset', actions: ['Control', 'Read'], scope: 'all' }

describe('npm start', () => {
  const start = (...args: string[]) => new Running(join(program.folder, 'scripts/start.mjs'), args, program.folder, {})

  it('runs server and device, prints commands that work as they are, and ends with them', async () => {
    const running = start('--http', '0', '--mqtt', '0')
    try {
      await running.printed(/mqtt_01 connected/)
      const lines = running.stdout.split('\n').filter(line => /^ {2}(export|node) /.test(line))
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(100)
      expect(running.stdout.match(/65417473-2da3-40cc-b235-513b9123aefb/g)).toHaveLength(1)
      expect(await pasted(lines)).toEqual([
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

  it('takes fleet file and store as they are given, and names the devices of that file', async () => {
    const application = { appKey: 'k', appSecret: `it's $HOME`.replace(' ', '_'), grants: [grant] }
    const devices = ['pump_9', 'pump_10'].map(deviceKey => {
      return { assetId: `asset_${deviceKey}`, productKey: 'pumps', deviceKey, deviceSecret: 's' }
    })
    const products = [{ productKey: 'pumps', productSecret: 's' }]
    const own = { organizations: [{ orgId: 'mine', applications: [application], products, devices }] }
    writeFileSync(join(program.folder, 'mine.json'), JSON.stringify(own))
    for (const fleet of [['--fleet', 'mine.json'], ['--fleet=mine.json']]) {
      const running = start('--http=0', '--mqtt=0', '--store', 'memory:', ...fleet)
      try {
        await running.printed(/pump_9 connected/)
        const lines = running.stdout.split('\n').filter(line => /^ {2}(export|node) /.test(line))
        const [listed, help] = await pasted(lines)
        expect(listed).toBe('no commands\n')
        expect(help).toContain('Usage: downlink command send')
        expect(running.stdout).not.toMatch(/mqtt_01|Int_value/)
      } finally {
        running.child.kill('SIGTERM')
      }
      expect((await running.ended).code).toBe(0)
    }
  })

  it('--help shows the options of the server, and starts nothing', async () => {
    for (const flag of ['--help', '-h']) {
      const { code, stdout, stderr } = await start(flag).ended
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout).toBe(`${helpOf(serveSpec)}\n`)
    }
  })

  it('ends, with all that it started, when its parent is killed', async () => {
    const child = [join(program.folder, 'scripts/start.mjs'), '--http=0', '--mqtt=0', '--store=memory:']
    const source = `require('node:child_process').spawn(process.execPath, ${JSON.stringify(child)}, { stdio: 'inherit' })`
    const parent = new Running('-e', [source], program.folder, {})
    const [, url = ''] = await parent.printed(/listening http (\S+)/)
    await parent.printed(/mqtt_01 connected/)
    // What it writes to is closed when the last of them has ended.
    await parent.stop('SIGKILL')
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
