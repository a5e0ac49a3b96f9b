// What Prometheus scrapes: counters that the engine and the endpoints feed. Not here: logs.

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Clock } from './clock.ts'
import type { Cluster } from './cluster/signal.ts'
import { stateName } from './core/command.ts'
import { METRICS_TEXT_MS } from './core/limits.ts'
import type { Engine, Observer } from './engine.ts'

export class Metrics implements Observer {
  readonly registry = new Registry()
  readonly #batchInputs = new Histogram({
    name: 'downlink_batch_inputs',
    help: 'Inputs committed together',
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
    registers: [this.registry],
  })
  readonly #batchSeconds = new Histogram({
    name: 'downlink_batch_seconds',
    help: 'From the load of a batch to its answers',
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5],
    registers: [this.registry],
  })
  readonly #transitions = new Counter({
    name: 'downlink_transitions_total',
    help: 'Transitions of commands by the state they reached and why',
    labelNames: ['to', 'reason'],
    registers: [this.registry],
  })
  readonly #published = new Counter({
    name: 'downlink_published_total',
    help: 'Commands handed to a device connection',
    registers: [this.registry],
  })
  readonly #replies = new Counter({
    name: 'downlink_replies_total',
    help: 'Command replies of devices: settled, late, ignored (names nothing that was sent), dropped (failed inside the server)',
    labelNames: ['outcome'],
    registers: [this.registry],
  })
  readonly #calls = new Counter({
    name: 'downlink_http_calls_total',
    help: 'Calls of the command API and the token service by action and code of the answer',
    labelNames: ['action', 'code'],
    registers: [this.registry],
  })
  readonly #mqtt = new Counter({
    name: 'downlink_mqtt_events_total',
    help: 'What happened at the MQTT endpoint: logins and refusals, why connections ended, and what devices did that is odd and harmless',
    labelNames: ['event'],
    registers: [this.registry],
  })
  readonly #proxyHeaders = new Counter({
    name: 'downlink_proxy_headers_refused_total',
    help: 'Connections that were closed because no PROXY protocol header came, or a wrong one, and why',
    labelNames: ['fault'],
    registers: [this.registry],
  })
  readonly #eventsTold = new Counter({
    name: 'downlink_events_told_total',
    help: 'Changes that were told, in streams, by page and to webhooks',
    registers: [this.registry],
  })
  readonly #webhookAttempts = new Counter({
    name: 'downlink_webhook_attempts_total',
    help: 'POSTs to webhooks by what came of them: taken, refused (not 2xx), unreachable (no answer), forbidden (not a public address)',
    labelNames: ['outcome'],
    registers: [this.registry],
  })
  readonly #webhookGivenUp = new Counter({
    name: 'downlink_webhook_given_up_total',
    help: 'Changes that became dead letters of webhooks',
    registers: [this.registry],
  })

  #text: { readonly madeAt: number; readonly text: Promise<string> } | null = null

  constructor() {
    collectDefaultMetrics({ register: this.registry })
  }

  /**
   * What is scraped, made at most once in METRICS_TEXT_MS and shared: nobody is asked for credentials here, and it takes milliseconds to make. `now` is
   * in ms, of a clock that never runs backwards.
   */
  text(now: number): Promise<string> {
    if (this.#text === null || now - this.#text.madeAt >= METRICS_TEXT_MS)
      this.#text = { madeAt: now, text: this.registry.metrics() }
    return this.#text.text
  }

  /** The stream of changes. */
  watchStream(stream: { gauges(): Readonly<Record<'streams' | 'lagMs' | 'deadLetters', number>> }): void {
    this.#gauge('downlink_streams', 'Open streams of events', () => stream.gauges().streams)
    const lag = 'Age of the oldest change that some webhook, as far as this node delivers it, has not taken'
    this.#gauge('downlink_webhook_lag_seconds', lag, () => stream.gauges().lagMs / 1_000)
    const dead = 'Dead letters of all webhooks, as counted within the last minute'
    this.#gauge('downlink_webhook_dead_letters', dead, () => stream.gauges().deadLetters)
  }

  /** Gauges are read whenever the text is made. `sockets`: open connections of the MQTT endpoint, those included that have not logged in. */
  watch(engine: Engine, clock: Clock, sockets: () => number): void {
    const gauge = (name: string, help: string, read: () => number): void => this.#gauge(name, help, read)
    gauge('downlink_devices_online', 'Devices connected to this node', () => engine.gauges().online)
    gauge('downlink_mqtt_sockets', 'Open MQTT connections, logged in or not', sockets)
    gauge(
      'downlink_clock_ahead_seconds',
      'By how much the clock of commands is ahead of the machine, whose clock was set back',
      () => (clock.now() - clock.wall()) / 1000,
    )
    gauge('downlink_waiters', 'HTTP callers waiting for instant commands', () => engine.gauges().waiters)
    gauge('downlink_engine_pending', 'Inputs waiting for a batch', () => engine.gauges().pending)
  }

  #gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read())
      },
    })
  }

  /** Of a node among others. */
  watchNode(
    node: number,
    cluster: Cluster,
    signals: Readonly<Record<'told' | 'heard' | 'dropped' | 'refused', number>>,
  ): void {
    const registers = [this.registry]
    new Gauge({ name: 'downlink_node', help: 'Number of this node', registers }).set(node)
    new Gauge({
      name: 'downlink_nodes_alive',
      help: 'Nodes whose lease is good as far as this one knows, itself included',
      registers,
      collect() {
        this.set((cluster.others()?.alive.size ?? 0) + 1)
      },
    })
    new Gauge({
      name: 'downlink_lease_good',
      help: '1 while this node may send to its devices, 0 while its lease may be over',
      registers,
      collect() {
        this.set(cluster.mayPublish() ? 1 : 0)
      },
    })
    const kinds = ['told', 'heard', 'dropped', 'refused'] as const
    new Counter({
      name: 'downlink_signals_total',
      help: 'Devices and commands that nodes tell each other of: told, heard, dropped, and texts refused',
      labelNames: ['kind'],
      registers,
      collect() {
        this.reset()
        for (const kind of kinds) this.inc({ kind }, signals[kind])
      },
    })
  }

  batch(inputs: number, durationMs: number): void {
    this.#batchInputs.observe(inputs)
    this.#batchSeconds.observe(durationMs / 1000)
  }

  transition(event: Parameters<Observer['transition']>[0]): void {
    // Late replies keep the state, connects have none: neither is a transition.
    if (event.to === null || event.to === event.from) return
    this.#transitions.inc({ to: stateName[event.to], reason: event.reason })
  }

  published(): void {
    this.#published.inc()
  }

  reply(outcome: Parameters<Observer['reply']>[0]): void {
    this.#replies.inc({ outcome })
  }

  /** action and code must be of fixed sets: label values are never made of input. `device`: the answer passes on a code of the device. */
  call(action: string, code: number | 'device'): void {
    this.#calls.inc({ action, code })
  }

  mqtt(event: string): void {
    this.#mqtt.inc({ event })
  }

  /** fault must be of a fixed set */
  proxyHeader(fault: string): void {
    this.#proxyHeaders.inc({ fault })
  }

  /** so many changes were told to somebody */
  told(changes: number): void {
    this.#eventsTold.inc(changes)
  }

  /** outcome must be of a fixed set */
  attempt(outcome: string): void {
    this.#webhookAttempts.inc({ outcome })
  }

  gaveUp(changes: number): void {
    this.#webhookGivenUp.inc(changes)
  }
}
