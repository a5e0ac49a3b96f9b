// Bounds that only make sense in relation to each other.

import { describe, expect, it } from 'vitest'
import { ANSWER_MAX_BYTES, RETRIES_MAX } from '../packages/client/src/limits.ts'
import * as limits from '../src/core/limits.ts'

describe('limits', () => {
  it('leave room for one another', () => {
    expect(limits.TIMEOUT_DEFAULT_S).toBeLessThanOrEqual(limits.TIMEOUT_MAX_S)
    expect(limits.QUEUE_CAP).toBeLessThanOrEqual(limits.QUEUE_CAP_MAX)
    expect(limits.BATCH_MAX_INPUTS).toBeLessThan(limits.ENGINE_QUEUE_MAX)
    // Every waiting caller holds an HTTP connection, and calls that do not wait need some too.
    expect(limits.WAITERS_MAX).toBeLessThan(limits.HTTP_CONNECTIONS_MAX)
    expect(limits.WAITERS_MAX).toBeLessThan(limits.ENGINE_QUEUE_MAX)
    // A reply may carry as much as an input, with its envelope; and fits into one socket's write buffer on the way down.
    expect(limits.PACKET_MAX_BYTES).toBeGreaterThan(limits.INPUT_MAX_BYTES)
    expect(limits.WRITE_BUFFER_MAX_BYTES).toBeGreaterThan(2 * limits.INPUT_MAX_BYTES)
    expect(limits.CONNECT_MAX_BYTES).toBeLessThan(limits.PACKET_MAX_BYTES)
    expect(limits.READY_AFTER_MS).toBeLessThan(limits.READY_AT_LATEST_MS)
    // Headers arrive before the body does, and a stop is over before whoever runs the process loses patience (10 s).
    expect(limits.HEADERS_WAIT_MS).toBeLessThanOrEqual(limits.REQUEST_WAIT_MS)
    expect(limits.STOP_GRACE_MS).toBeLessThan(limits.STOP_AT_LATEST_MS)
    expect(limits.STOP_AT_LATEST_MS).toBeLessThan(10_000)
    // A POST ends before the turn in which it began; one that is refused is tried again long before it is given up, and a day is well within what is kept.
    expect(limits.WEBHOOK_ANSWER_WAIT_MS).toBeLessThan(limits.WEBHOOK_TURN_MARGIN_MS)
    expect(limits.WEBHOOK_TURN_MARGIN_MS).toBeLessThan(limits.WEBHOOK_TURN_MS)
    expect(limits.WEBHOOK_BACKOFF_MAX_MS).toBeLessThan(limits.WEBHOOK_GIVE_UP_MS)
    expect(limits.WEBHOOK_GIVE_UP_MS).toBeLessThan(limits.RETENTION_DAYS * 86_400_000)
    expect(limits.WEBHOOK_STOP_MS).toBeLessThan(limits.STOP_GRACE_MS)
    // No organization has all places for tests and replays, and look-ups of names leave one of node's four threads to files.
    expect(limits.WEBHOOK_CALLS_PER_ORGANIZATION_MAX).toBeLessThan(limits.WEBHOOK_CALLS_MAX)
    expect(limits.WEBHOOK_LOOKUPS_MAX).toBeLessThan(4)
    expect(limits.WEBHOOK_LOOKUPS_WAITING_MAX).toBeGreaterThanOrEqual(
      limits.WEBHOOK_POSTS_MAX + limits.WEBHOOK_CALLS_MAX,
    )
    // What is kept for all goes on without a gap, because nothing is purged that soon; and a page fits into it and into what is looked at.
    expect(limits.STREAM_FRESH_MS).toBeLessThan(86_400_000)
    expect(limits.STREAM_PAGE_MAX).toBeLessThanOrEqual(limits.STREAM_SCAN_MAX)
    expect(limits.STREAM_PAGE_MAX).toBeLessThan(limits.STREAM_RING_MAX)
    expect(limits.STREAM_READS_MAX).toBeLessThan(limits.POSTGRES_OTHER_CONNECTIONS)
    expect(limits.STREAM_PLACE_MAX).toBeLessThanOrEqual(limits.PLACED_MAX)
    // Streams leave connections to callers, and say that they are there before a balancer takes them for dead.
    expect(limits.STREAMS_PER_ORGANIZATION_MAX).toBeLessThanOrEqual(limits.STREAMS_MAX)
    expect(limits.STREAMS_MAX).toBeLessThan(limits.HTTP_CONNECTIONS_MAX / 2)
    expect(limits.STREAM_HEARTBEAT_MS).toBeLessThan(60_000)
    expect(limits.STREAM_HEARTBEAT_MS).toBeLessThan(limits.STREAM_STALLED_MS)
    // A step of a job or a cancellation leaves room in its batch, and a turn is renewed long before it is over; a node that was paused has lost its lease by then.
    expect(limits.JOB_STEP_TASKS).toBeLessThanOrEqual(limits.BATCH_MAX_INPUTS / 2)
    expect(limits.CANCELLATION_STEP_COMMANDS).toBeLessThanOrEqual(limits.BATCH_MAX_INPUTS / 2)
    expect(2 * limits.JOB_TURN_RENEW_MS).toBeLessThan(limits.JOB_TURN_MS)
    expect(limits.JOB_TURN_MS).toBeGreaterThan(limits.NODE_LEASE_MS + limits.NODE_MARGIN_MS)
    expect(limits.JOB_LOOK_MIN_MS).toBeLessThan(limits.JOB_LOOK_MAX_MS)
    expect(limits.JOB_RETRIES_DEFAULT).toBeLessThanOrEqual(limits.JOB_RETRIES_MAX)
    expect(limits.JOB_RETRY_INTERVAL_DEFAULT_S).toBeLessThanOrEqual(limits.JOB_RETRY_INTERVAL_MAX_S)
    expect(limits.JOB_PAGE_DEFAULT).toBeLessThanOrEqual(limits.JOB_PAGE_MAX)
    // The longest keys of as many devices as may be listed, and the largest input.
    expect(limits.REGISTER_MAX_DEVICES * 256).toBeLessThan(limits.DEVICES_BODY_MAX_BYTES)
    expect(limits.JOB_TARGETS_MAX * 240 + limits.INPUT_MAX_BYTES).toBeLessThan(limits.JOB_BODY_MAX_BYTES)
    // The vendor's largest id field and our bits agree.
    expect(limits.NODE_MAX + 1).toBe(2 ** 10)
    expect(limits.IDS_PER_MS).toBe(2 ** 13)
    expect(limits.PAGE_SIZE_DEFAULT).toBeLessThanOrEqual(limits.PAGE_SIZE_MAX)
    expect(limits.EXPRESSION_MAX_DEPTH).toBeLessThan(limits.EXPRESSION_MAX_TERMS)
    // A COMMIT that never arrives is given up by PostgreSQL before whoever asks about it gives up, and the question may wait for that.
    expect(limits.COPY_IDLE_MAX_MS).toBeLessThan(limits.COPY_DOUBT_MS)
    expect(limits.COPY_DOUBT_MS).toBeLessThan(limits.COPY_STATEMENT_MAX_MS)
    // Every default is within what its option takes.
    expect(limits.RETENTION_DAYS).toBeLessThanOrEqual(limits.RETENTION_MAX_DAYS)
    expect(limits.CLOCK_WINDOW_MIN).toBeLessThanOrEqual(limits.CLOCK_WINDOW_MAX_MIN)
    expect(limits.INPUT_OPTION_MIN_BYTES).toBeLessThanOrEqual(limits.INPUT_MAX_BYTES)
    expect(limits.INPUT_MAX_BYTES).toBeLessThanOrEqual(limits.INPUT_OPTION_MAX_BYTES)
    expect(limits.LIST_LIMIT_DEFAULT).toBeLessThanOrEqual(limits.PAGE_SIZE_MAX)
    // A command of the largest input fits into what waits in a socket, and into what the simulated device takes.
    expect(limits.INPUT_OPTION_MAX_BYTES).toBeLessThan(limits.WRITE_BUFFER_MAX_BYTES)
    expect(limits.INPUT_OPTION_MAX_BYTES).toBeLessThan(limits.SIMULATED_PACKET_MAX_BYTES)
    // The list that is printed by default fits a page however large its commands are, and the client reads every page.
    expect(limits.LIST_LIMIT_DEFAULT * (limits.INPUT_MAX_BYTES + limits.PACKET_MAX_BYTES)).toBeLessThan(
      limits.PAGE_MAX_BYTES,
    )
    expect(limits.PAGE_MAX_BYTES).toBeLessThan(ANSWER_MAX_BYTES)
    expect(RETRIES_MAX).toBeGreaterThanOrEqual(limits.CLI_RETRIES)
    expect(limits.PAGE_MAX_BYTES).toBeLessThan(limits.ANSWERS_UNREAD_MAX_BYTES)
    expect(limits.RECONNECT_MIN_MS).toBeLessThan(limits.RECONNECT_MAX_MS)
    // The answer that tells the most new devices, with the longest keys, is not refused for its length, and a socket takes it.
    expect(limits.REGISTER_MAX_DEVICES * 220).toBeLessThan(limits.REQUEST_ANSWER_MAX_BYTES)
    expect(limits.REQUEST_ANSWER_MAX_BYTES).toBeLessThan(limits.WRITE_BUFFER_MAX_BYTES)
    // One request may always be saved, be it as large as it may, and does not fill the queue.
    const longValues = limits.DECOMPRESSED_MAX_BYTES / limits.SAVE_ROW_CHARS
    const rowsOfRequest = limits.REQUEST_MAX_VALUES + limits.REQUEST_ITEMS_MAX + longValues
    expect(rowsOfRequest).toBeLessThan(limits.SAVE_QUEUE_MAX_ROWS)
    expect(limits.SAVE_BATCH_MAX_ROWS).toBeLessThan(limits.SAVE_QUEUE_MAX_ROWS)
    // All measurepoints of a device come in one report, each with a quality; and so do a few of each of many.
    expect(limits.POINTS_MAX_PER_DEVICE).toBeLessThanOrEqual(limits.REQUEST_MAX_VALUES)
    expect(4 * limits.REQUEST_MAX_VALUES).toBeLessThan(limits.PAYLOAD_MAX_PARTS)
    expect(limits.ATTRIBUTES_MAX_PER_REQUEST).toBeLessThanOrEqual(limits.REQUEST_MAX_VALUES)
    // Every model that fits into an answer is told, with what else of it is left out there.
    expect(limits.TOLD_MODEL_MAX_CHARS).toBeGreaterThan(limits.REQUEST_ANSWER_MAX_BYTES)
    expect(limits.ATTRIBUTES_MAX_PER_REQUEST).toBeLessThanOrEqual(limits.ATTRIBUTES_MAX_PER_DEVICE)
    // All that a device may report at once fits on a page only in parts, each of which does.
    expect(limits.REPORTED_MAX_BYTES).toBeLessThan(limits.PAGE_MAX_BYTES)
    // The worst that one device can put on the disk is what the comment there says.
    const { POINTS_MAX_PER_DEVICE, ATTRIBUTES_MAX_PER_DEVICE, REPORTED_MAX_BYTES, TAG_MAX_CHARS } = limits
    expect(POINTS_MAX_PER_DEVICE * REPORTED_MAX_BYTES).toBeLessThanOrEqual(82_000_000)
    expect(ATTRIBUTES_MAX_PER_DEVICE * REPORTED_MAX_BYTES).toBeLessThan(16_500_000)
    expect(ATTRIBUTES_MAX_PER_DEVICE * TAG_MAX_CHARS * 3).toBeLessThan(3_100_000)
    // A codec may say as much as a device that needs none; what one connection has pending may all wait for a codec.
    expect(limits.CODEC_RESULT_MAX_BYTES).toBe(limits.PACKET_MAX_BYTES)
    expect(limits.UPLINK_PENDING_MAX * limits.PACKET_MAX_BYTES).toBeLessThanOrEqual(limits.CODEC_QUEUE_MAX_BYTES)
    expect(limits.CODEC_CALL_MS).toBeLessThan(limits.CODEC_LOAD_MS)
    expect(limits.CODEC_HEAP_MIB * 2 ** 20).toBeLessThan(limits.CODEC_MEMORY_MAX_BYTES)
    // What a retention promises outlives the longest command.
    expect(limits.RETENTION_DAYS * 86_400).toBeGreaterThan(limits.PENDING_TTL_MAX_S)
    // A repeat may be answered from the record for as long as its key is kept: at least 24 h, which is what callers are promised.
    expect(limits.REPEATS_KEPT_MS).toBeGreaterThanOrEqual(86_400_000)
    expect(limits.PENDING_TTL_MAX_S * 1_000 + limits.REPEATS_KEPT_MS).toBeLessThan(limits.RETENTION_DAYS * 86_400_000)
  })
  it('are positive and finite, every one', () => {
    for (const [name, value] of Object.entries(limits)) {
      expect(Number.isFinite(value) && value > 0, name).toBe(true)
    }
  })
})
