// Bounds that only make sense in relation to each other.

import { describe, expect, it } from 'vitest'
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
    expect(limits.PAGE_MAX_BYTES).toBeLessThan(limits.ANSWER_MAX_BYTES)
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
  })
  it('are positive and finite, every one', () => {
    for (const [name, value] of Object.entries(limits)) {
      expect(Number.isFinite(value) && value > 0, name).toBe(true)
    }
  })
})
