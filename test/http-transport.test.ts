// What comes over the socket before any action is meant: bodies that cannot be read, sizes, paths, verbs, slow and broken connections.
// Each is answered as documented, stores nothing, and the server goes on.

import { once } from 'node:events'
import { request as nodeRequest, type RequestListener } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { PAGE_MAX_BYTES, PIPELINED_MAX, QUERY_MAX_BYTES } from '../src/core/limits.ts'
import { Connections } from '../src/http/connections.ts'
import { Contract, type Params, set } from './rig/contract.ts'
import { expectRefused, startApp, unchanged } from './rig/http.ts'
import { jsonOf, RawConnection, rawCall, request } from './rig/raw.ts'
import { type Answer, ORG } from './rig/server.ts'

const contract = new Contract()

/** A signed call whose body is these bytes. */
async function bytes(params: Params, body: string | Uint8Array, headers = {}): Promise<Answer> {
  const signed = await contract.rig.app.sign(params, body)
  const answer = await rawCall(
    contract.rig.server.httpUrl,
    request('POST', signed.path, { ...signed.headers, ...headers }, body),
  )
  return { ...jsonOf(answer), status: answer.status }
}

describe('a body', () => {
  it.each<[string, string | Uint8Array, string]>([
    ['that is cut off JSON', '{"value": 1', 'is not JSON'],
    ['of words', 'value=1', 'is not JSON'],
    ['of blanks', '  ', 'is not JSON'],
    ['with a trailing comma', '{"value":1,}', 'is not JSON'],
    ['with NaN', '{"value":NaN}', 'is not JSON'],
    ['that is not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'not UTF-8'],
    ['in UTF-16', Buffer.from('{"value":1}', 'utf16le'), 'is not JSON'],
    [
      'that is compressed',
      Buffer.from('1f8b0800000000000003ab562a4bcc294d55b232ac0500c1d6d0d30b000000', 'hex'),
      'not UTF-8',
    ],
    ['of 30,000 brackets that never close', '['.repeat(30_000), 'is not JSON'],
  ])('%s cannot be read: HTTP 400', async (_what, body, says) => {
    const answer = await bytes(set, body)
    expectRefused(answer, 99400, says, 400)
    expect(answer.msg).toMatch(/^Cannot process request body: /)
  })

  it.each<[string, string, string]>([
    ['nested 30,000 deep', `{"value":${'['.repeat(30_000)}${']'.repeat(30_000)}}`, 'is nested deeper than 32 levels'],
    ['with an integer beyond 2^53', '{"value":9007199254740993}', 'value is a whole number that would be rounded'],
    ['with a large negative one', '{"value":-90071992547409931}', 'value is a whole number that would be rounded'],
    ['with one deep inside', '{"value":{"a":[1,9007199254740993]}}', 'value.a[1] is a whole number'],
    ['with a number beyond doubles', '{"value":1e400}', 'value is too large for a number'],
    ['with a key twice', '{"value":1,"value":2}', 'value is given twice'],
    ['with __proto__', '{"value":1,"__proto__":{}}', '__proto__ is a key that is not allowed'],
    ['that is an array', '[1]', 'body:must be a JSON object'],
    ['that is a string', '"value"', 'body:must be a JSON object'],
    ['that is a number', '5', 'body:must be a JSON object'],
    ['that is null', 'null', 'body:must be a JSON object'],
    ['that is empty', '', 'value:value is missing'],
    ['without the value', '{}', 'value:value is missing'],
    ['with the value under another name', '{"Value":1}', 'value:value is missing'],
    ['with the value null', '{"value":null}', 'value:must not be null'],
  ])('%s is read and refused: code 99400', async (_what, body, says) => {
    const answer = await bytes(set, body)
    expectRefused(answer, 99400, '')
    expect(answer.msg).toContain(says)
  })

  it.each(['search', 'invokeService'])('of %s is checked alike', async action => {
    const params = { action, orgId: ORG, assetId: 'a1', serviceId: 'reboot', pendingTtl: '600' }
    for (const body of ['{', '{"a":', Buffer.from([0xc3, 0x28])]) {
      expectRefused(await bytes(params, body), 99400, 'Cannot process request body', 400)
    }
    expectRefused(await bytes(params, '[]'), 99400, 'must be a JSON object')
  })

  it('may begin with a byte order mark', async () => {
    contract.stores = true
    const answer = await bytes({ ...set, assetId: 'a3' }, '\ufeff{"value":1}')
    expect(answer).toMatchObject({ status: 200, code: 0 })
  })

  it.each([
    ['text/plain'],
    ['application/x-www-form-urlencoded'],
    ['multipart/form-data; boundary=x'],
    ['application/json; charset=iso-8859-1'],
    ['application/xml'],
    ['json'],
    ['@@@'],
    [''],
  ])('is JSON in UTF-8 even if it is said to be "%s"', async type => {
    contract.stores = true
    const { data, code } = await bytes({ ...set, assetId: 'a3', measurepointId: 'Text' }, '{"value":"ä泵"}', {
      'content-type': type,
    })
    expect(code).toBe(0)
    expect((await contract.rig.app.on({ assetId: 'a3' }).get(data.commandId)).data.inputData).toBe('ä泵')
    expectRefused(await bytes(set, 'value=1', { 'content-type': type }), 99400, 'is not JSON', 400)
  })
})

describe('sizes', () => {
  const text = { ...set, assetId: 'a4', measurepointId: 'Text' }

  // The point itself takes 60,000 characters: the rest is filled with blanks, which count all the same.
  const padded = (size: number) => `{"value":"${'x'.repeat(60_000)}"}`.padEnd(size)

  it('takes a body of 64 KiB', async () => {
    contract.stores = true
    expect(await bytes(text, padded(65_536))).toMatchObject({ status: 200, code: 0 })
  })

  it('refuses one byte more with 413', async () => {
    const refused = await bytes(text, padded(65_537))
    expectRefused(refused, 99400, 'Request size limit exceeded: a body may have 65536 bytes', 413)
  })

  it('refuses a chunked body as soon as it is too large, before it ends', async () => {
    const signed = await contract.rig.app.sign(text, '')
    const connection = new RawConnection(contract.rig.server.httpUrl)
    connection.send(request('POST', signed.path, { ...signed.headers, 'transfer-encoding': 'chunked' }))
    const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`
    for (let i = 0; i < 5; i++) connection.send(chunk)
    const answer = await connection.answer()
    expectRefused({ ...jsonOf(answer), status: answer.status }, 99400, 'Request size limit exceeded', 413)
    await connection.closed()
  })

  it('refuses a body by its declared length alone', async () => {
    const signed = await contract.rig.app.sign(text, '')
    const connection = new RawConnection(contract.rig.server.httpUrl)
    connection.send(request('POST', signed.path, { ...signed.headers, 'content-length': '10000000000' }))
    const answer = await connection.answer()
    expectRefused({ ...jsonOf(answer), status: answer.status }, 99400, 'Request size limit exceeded', 413)
    await connection.closed()
  })

  it('takes a chunked body that fits', async () => {
    contract.stores = true
    const body = '{"value":"chunked"}'
    const signed = await contract.rig.app.sign(text, body)
    const head = request('POST', signed.path, { ...signed.headers, 'transfer-encoding': 'chunked' })
    const chunks = [...body].map(char => `1\r\n${char}\r\n`).join('')
    const answer = await rawCall(contract.rig.server.httpUrl, Buffer.concat([head, Buffer.from(`${chunks}0\r\n\r\n`)]))
    expect(jsonOf(answer)).toMatchObject({ code: 0 })
  })

  it('refuses a query of more than 8 KiB, and a request line or headers beyond what is read at all', async () => {
    const ofQuery = async (size: number) => {
      const query = `${new URLSearchParams(set)}&x=`.padEnd(size, 'x')
      const signed = await contract.rig.app.sign(query, '{"value":1}')
      return rawCall(contract.rig.server.httpUrl, request('POST', signed.path, signed.headers, '{"value":"x"}'))
    }
    // Just short enough to be looked at: the body was changed after signing, so it is the signature that is refused.
    expect((await ofQuery(QUERY_MAX_BYTES)).status).toBe(401)
    for (const size of [QUERY_MAX_BYTES + 1, 12_000, 20_000, 200_000]) {
      const answer = await ofQuery(size)
      expectRefused({ ...jsonOf(answer), status: answer.status }, 99400, 'Request size limit exceeded', 413)
    }
    const flood = Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`x-${i}`, 'y']))
    const answer = await rawCall(contract.rig.server.httpUrl, request('GET', '/healthz', flood))
    expectRefused({ ...jsonOf(answer), status: answer.status }, 99400, 'Request size limit exceeded', 413)
    const long = await rawCall(
      contract.rig.server.httpUrl,
      request('GET', '/healthz', { 'x-long': 'y'.repeat(100_000) }),
    )
    expect(long.status).toBe(413)
  })
})

describe('a connection', () => {
  const body = '{"value":12345}'

  it.each([
    ['reset', (connection: RawConnection) => connection.socket.resetAndDestroy()],
    ['ended', (connection: RawConnection) => connection.socket.end()],
  ])('that is %s half-way through the body stores nothing', async (_how, cut) => {
    const signed = await contract.rig.app.sign(set, body)
    const whole = request('POST', signed.path, signed.headers, body)
    const connection = new RawConnection(contract.rig.server.httpUrl)
    // Once the first call is answered, the server has read what came before the cut.
    connection.send(request('GET', '/healthz')).send(whole.subarray(0, whole.length - 3))
    await connection.answer()
    cut(connection)
    await connection.closed()
  })

  it('on which something broken follows a call is closed with the answer to that call, and nothing that could be taken for it', async () => {
    contract.stores = true
    const signed = await contract.rig.app.sign({ ...set, assetId: 'a3' }, body)
    const call = request('POST', signed.path, signed.headers, body)
    const connection = new RawConnection(contract.rig.server.httpUrl).send(
      Buffer.concat([call, call, Buffer.from('}}}} more\r\n\r\n')]),
    )
    await connection.closed()
    const answers = await connection.answers(2)
    const found = await contract.rig.app.on({ assetId: 'a3' }).search({ pagination: { pageNo: 1, pageSize: 2 } })
    expect(answers.map(answer => jsonOf(answer))).toMatchObject([{ code: 0 }, { code: 0 }])
    const ids = answers.map(answer => jsonOf(answer).data.commandId)
    expect(found.data.map((command: { commandId: string }) => command.commandId)).toEqual(ids.reverse())
    await expect(connection.answer()).rejects.toThrow('closed')
  })

  it.each([
    ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['a header without a colon', 'GET /healthz HTTP/1.1\r\nhost: x\r\nbroken\r\n\r\n'],
    ['two different lengths', 'POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    [
      'length and chunks at once',
      'POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a chunk of no size', 'POST /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'],
    ['a verb that does not exist', 'CANCEL /connect-service/v2.1/commands HTTP/1.1\r\nhost: x\r\n\r\n'],
    ['another version of HTTP', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ])('with %s is refused with 400 and closed', async (_what, text) => {
    const connection = new RawConnection(contract.rig.server.httpUrl).send(Buffer.from(text, 'latin1'))
    const answer = await connection.answer()
    expectRefused({ ...jsonOf(answer), status: answer.status }, 99400, 'Cannot process request', 400)
    expect(answer.headers.get('content-type')).toBe('application/json;charset=UTF-8')
    await connection.closed()
  })

  it('may carry requests one after the other without waiting, and gets the answers in order', async () => {
    contract.stores = true
    const device = { assetId: 'a2' }
    const calls: Buffer[] = []
    for (let value = 1; value <= 20; value++) {
      const text = JSON.stringify({ value })
      const signed = await contract.rig.app.sign({ ...set, ...device }, text)
      calls.push(request('POST', signed.path, signed.headers, text))
      if (value === 10) calls.push(request('GET', '/nowhere'))
    }
    const connection = new RawConnection(contract.rig.server.httpUrl).send(Buffer.concat(calls))
    const answers = await connection.answers(21)
    connection.destroy()
    expect(answers.map(({ status }) => status)).toEqual([...Array(10).fill(200), 404, ...Array(10).fill(200)])
    const ids = answers.filter(({ status }) => status === 200).map(answer => jsonOf(answer).data.commandId)
    const found = await contract.rig.app.on(device).search()
    const stored = new Map(
      found.data.map((command: { commandId: string; inputData: number }) => [command.commandId, command.inputData]),
    )
    expect(ids.map(id => stored.get(id))).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
  })
})

describe('sizes of answers', () => {
  it('refuses a page of more than 4 MB by name, whole, and serves its parts', async () => {
    const app = await startApp()
    try {
      const calls = app.app.on({ assetId: 'free1' })
      const value = '\u6cf5'.repeat(21_000)
      for (let sent = 0; sent < PAGE_MAX_BYTES; sent += 63_000) {
        const answer = await calls.set(value)
        if (answer.code !== 0) await calls.cancel()
      }
      const page = (pageNo: number, pageSize: number) => calls.search({ pagination: { pageNo, pageSize } })
      const says = /^Invalid Argument pagination\.pageSize:the page would be 4\.\d MB; ask for fewer$/
      const { totalSize } = (await page(1, 1)).pagination
      expectRefused(await page(1, 200), 99400, says)
      const half = Math.ceil(totalSize / 2)
      const parts = [await page(1, half), await page(2, half)]
      expect(parts.map(({ data }) => data.length)).toEqual([half, totalSize - half])
    } finally {
      await app.stop()
    }
  })
})

describe('callers who send ahead or do not read', () => {
  /** The bounds of connections around an answering function; `closed` tells the connections that the server closed, by their order. */
  async function bounded(connections: Connections, answer: RequestListener) {
    const server = connections.createServer({}, answer).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const sockets: Socket[] = []
    server.on('connection', socket => sockets.push(socket))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const stop = async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    }
    return { url, sockets, stop }
  }
  /** more than the buffers of both ends take */
  const large = Buffer.alloc(16_000_000)
  const sendsLarge: RequestListener = (_request, response) => {
    response.writeHead(200, { 'content-length': large.length }).end(large)
  }
  const newId = () => '0'.repeat(32)

  it('are served one request at a time, in order, and get all their answers', async () => {
    let performing = 0
    let most = 0
    const { url, stop } = await bounded(new Connections(newId), (request, response) => {
      performing += 1
      most = Math.max(most, performing)
      setImmediate(() => {
        performing -= 1
        const text = request.url ?? ''
        response.writeHead(200, { 'content-length': text.length }).end(text)
      })
    })
    const paths = Array.from({ length: PIPELINED_MAX }, (_, n) => `/${n}`)
    const connection = new RawConnection(url).send(Buffer.concat(paths.map(path => request('GET', path))))
    expect((await connection.answers(PIPELINED_MAX)).map(({ body }) => body)).toEqual(paths)
    expect(most).toBe(1)
    connection.destroy()
    await stop()
  })

  it('are closed with one open request too many, of which no more than the first was performed', async () => {
    let performed = 0
    const { url, stop } = await bounded(new Connections(newId), () => {
      performed += 1
    })
    const flood = Buffer.concat(Array.from({ length: PIPELINED_MAX + 1 }, () => request('GET', '/')))
    await new RawConnection(url).send(flood).closed()
    expect(performed).toBe(1)
    await stop()
  })

  it('are closed in the real server too, which goes on with others', async () => {
    const { httpUrl } = contract.rig.server
    for (const path of ['/metrics', '/connect-service/v2.1/commands?action=get', '/nowhere'])
      await new RawConnection(httpUrl).send(Buffer.concat(Array(1_500).fill(request('GET', path)))).closed()
    expect((await rawCall(httpUrl, request('GET', '/healthz'))).status).toBe(200)
  })

  it('have nothing performed behind an answer that closes the connection', async () => {
    const performed: (string | undefined)[] = []
    const { url, stop } = await bounded(new Connections(newId), ({ url }, response) => {
      performed.push(url)
      response.writeHead(200, { connection: 'close', 'content-length': 0 }).end()
    })
    const connection = new RawConnection(url).send(Buffer.concat([request('GET', '/1'), request('GET', '/2')]))
    await connection.closed()
    expect(performed).toEqual(['/1'])
    await stop()
  })

  it('have a time to read an answer, which waiting for it does not shorten', async () => {
    const { url, sockets, stop } = await bounded(new Connections(newId, 100), (request, response) => {
      if (request.url === '/large') sendsLarge(request, response)
      else setTimeout(() => response.writeHead(200, { 'content-length': 4 }).end('late'), 300)
    })
    const waiting = new RawConnection(url).send(request('GET', '/late'))
    const unread = new RawConnection(url).send(request('GET', '/large'))
    unread.socket.pause()
    await once(unread.socket, 'connect')
    while (sockets.length < 2) await new Promise(resolve => setImmediate(resolve))
    const unreadHere = sockets.find(({ remotePort }) => remotePort === unread.socket.localPort)!
    await once(unreadHere, 'close')
    expect((await waiting.answer()).body).toBe('late')
    expect((await waiting.send(request('GET', '/late')).answer()).body).toBe('late')
    unread.destroy()
    waiting.destroy()
    await stop()
  })

  it('hold so many bytes together: then the one that has been waiting longest is closed', async () => {
    const { url, sockets, stop } = await bounded(new Connections(newId, 60_000, 24_000_000), sendsLarge)
    /** Asks and does not read. */
    const ask = async () => {
      const known = sockets.length
      const socket = connect(Number(new URL(url).port), '127.0.0.1')
      socket.write(request('GET', '/'))
      while (sockets.length === known) await new Promise(resolve => setImmediate(resolve))
      return socket
    }
    /** Reads what is left: true if it was everything. */
    const readAll = async (socket: Socket) => {
      for await (const _ of socket) if (socket.bytesRead > large.length) return true
      return false
    }
    await ask()
    const second = await ask()
    // The second answer is over the bound, and the first caller pays for it.
    await once(sockets[0]!, 'close')
    expect(await readAll(second)).toBe(true)
    // What was read no longer counts: a third caller is within the bound, and closes nobody.
    const third = await ask()
    expect(await readAll(third)).toBe(true)
    await stop()
  })
})

describe('slow callers', () => {
  it('are cut off with 408 while they dribble headers or a body, and store nothing', async () => {
    // The real server waits 20 s and 30 s; here the same server waits 100 ms and 200 ms.
    const app = await startApp({
      before: ({ server }) =>
        Object.assign(server, { headersTimeout: 100, requestTimeout: 200, connectionsCheckingInterval: 20 }),
    })
    try {
      await unchanged(app.app, async () => {
        const body = '{"value":1}'.padEnd(1_000)
        const signed = await app.app.sign(set, body)
        const whole = request('POST', signed.path, signed.headers, body).toString()
        for (const sent of [whole.slice(0, 60), whole.slice(0, -900)]) {
          const connection = new RawConnection(app.url).send(sent)
          const dribble = setInterval(() => connection.socket.writable && connection.send('x'), 50)
          const answer = await connection.answer()
          expectRefused({ ...jsonOf(answer), status: answer.status }, 99400, 'too slow', 408)
          await connection.closed()
          clearInterval(dribble)
        }
      })
    } finally {
      await app.stop()
    }
  })
})

describe('paths and verbs', () => {
  const COMMANDS = '/connect-service/v2.1/commands'

  it.each([
    ['GET', '/'],
    ['POST', '/connect-service/v2.1/command'],
    ['POST', '/connect-service/v2.0/commands'],
    ['POST', `${COMMANDS}/`],
    ['POST', `/${COMMANDS}`],
    ['POST', COMMANDS.toUpperCase()],
    ['POST', '/connect-service/v2.1/../v2.1/commands'],
    ['POST', '/%zz'],
    ['POST', '/%ff'],
    ['POST', '/%00'],
    ['PUT', COMMANDS],
    ['DELETE', COMMANDS],
    ['PATCH', COMMANDS],
    ['OPTIONS', COMMANDS],
    ['TRACE', COMMANDS],
    ['PROPFIND', COMMANDS],
    ['GET', '/apim-token-service/v2.0/token/get'],
    ['POST', '/healthz'],
    ['POST', '/metrics'],
  ])('%s %s does not exist: 404', async (method, path) => {
    const signed = await contract.rig.app.sign({ action: 'cancel', orgId: ORG, assetId: 'a1' })
    const url = path + signed.path.slice(signed.path.indexOf('?'))
    const answer = await rawCall(contract.rig.server.httpUrl, request(method, url, signed.headers))
    expectRefused(
      { ...jsonOf(answer), status: answer.status },
      99404,
      /^no such path or verb: the command API is POST /,
      404,
    )
  })

  it('HEAD does nothing', async () => {
    const signed = await contract.rig.app.sign({ action: 'cancel', orgId: ORG, assetId: 'a1' })
    const response = await fetch(contract.rig.server.httpUrl + signed.path, { method: 'HEAD', headers: signed.headers })
    expect(response.status).toBe(200)
  })

  it.each([
    ['GET', 'setMeasurepoint', 'POST'],
    ['GET', 'invokeService', 'POST'],
    ['GET', 'search', 'POST'],
  ])('%s %s is refused: it takes %s', async (method, action, takes) => {
    const params = { ...set, action, serviceId: 'reboot' }
    const answer = await contract.rig.app.call(params, { method })
    expectRefused(answer, 99400, `Invalid Argument action:this action takes ${takes}, not ${method}`)
  })
})

describe('every answer', () => {
  it('has the envelope: code, msg, requestId, data, in JSON', async () => {
    const calls = [
      contract.rig.app.sign({ action: 'search', orgId: ORG, assetId: 'a1' }),
      contract.rig.app.sign({ action: 'cancel', orgId: ORG, assetId: 'free1' }),
      contract.rig.app.sign({ action: 'nothing' }),
      { path: '/connect-service/v2.1/commands', headers: {} },
      { path: '/nowhere', headers: {} },
    ]
    const ids = new Set<string>()
    for (const call of await Promise.all(calls)) {
      const answer = await rawCall(
        contract.rig.server.httpUrl,
        request('POST', call.path, { ...call.headers, 'x-request-id': 'mine', 'request-id': 'mine' }),
      )
      expect(answer.headers.get('content-type')).toBe('application/json;charset=UTF-8')
      const envelope = jsonOf(answer)
      expect(Object.keys(envelope).slice(0, 4)).toEqual(['code', 'msg', 'requestId', 'data'])
      expect(envelope.requestId).toMatch(/^[0-9a-f]{32}$/)
      ids.add(envelope.requestId)
    }
    expect(ids.size).toBe(calls.length)
  })

  it('comes on a connection that is kept', async () => {
    const connection = new RawConnection(contract.rig.server.httpUrl)
    for (let i = 0; i < PIPELINED_MAX + 8; i++)
      expect((await connection.send(request('GET', '/healthz')).answer()).status).toBe(200)
    connection.destroy()
  })

  it.each<[string, Record<string, string | null>, number, string]>([
    ['without a Host', { host: null }, 400, 'Cannot process request: it has no Host header'],
    ['that expects something', { expect: 'x' }, 417, 'Cannot process request: Expect may only be 100-continue'],
  ])('has it for a request %s too', async (_what, headers, status, says) => {
    const connection = new RawConnection(contract.rig.server.httpUrl).send(request('GET', '/healthz', headers))
    const answer = await connection.answer()
    expectRefused({ ...jsonOf(answer), status: answer.status }, 99400, says, status)
    expect(answer.headers.get('content-type')).toBe('application/json;charset=UTF-8')
    await connection.closed()
  })

  it('asks before a large body is sent, where the caller waits for it', async () => {
    contract.stores = true
    const body = '{"value":7}'
    const signed = await contract.rig.app.sign({ ...set, assetId: 'a3' }, body)
    const call = nodeRequest(contract.rig.server.httpUrl + signed.path, {
      method: 'POST',
      headers: { ...signed.headers, expect: '100-continue', 'content-length': body.length },
    })
    const status = await new Promise((resolve, reject) => {
      call.on('continue', () => call.end(body))
      call.on('response', response => resolve(response.resume().statusCode))
      call.on('error', reject)
      call.flushHeaders()
    })
    expect(status).toBe(200)
  })
})
