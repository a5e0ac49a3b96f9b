// Every bound of the product, with its unit and the reason for the figure. Where options may change one, this is the default.
// Relations that must hold between them are asserted in test/limits.test.ts.

// --- queue -------------------------------------------------------------------------------------------------------
/** created commands per device; the vendor documents 50 */
export const QUEUE_CAP = 50
/** s; 48 hours, the vendor's longest pendingTtl */
export const PENDING_TTL_MAX_S = 172_800
/** s; the vendor's longest wait for an answer */
export const TIMEOUT_MAX_S = 60
/** s; used when the caller names none */
export const TIMEOUT_DEFAULT_S = 30
/** late or second replies kept in a command's event log; the rest are counted (a device that repeats itself must not fill the disk) */
export const LATE_REPLIES_KEPT = 8
/** characters of a late reply kept in its event; enough to recognise it, 8 of them stay under one page */
export const LATE_DETAIL_MAX_CHARS = 480
/** days that a final command stays on record; the vendor keeps 7 */
export const RETENTION_DAYS = 7
/** ms that the id clock may run ahead of the wall clock before new commands are refused with 503 */
export const ID_AHEAD_MAX_MS = 5_000
/** ids of one node in one millisecond: 13 sequence bits */
export const IDS_PER_MS = 8_192
/** 10 node bits */
export const NODE_MAX = 1_023

// --- engine ------------------------------------------------------------------------------------------------------
/** inputs decided and committed together: beyond a few hundred the fsync is already spread thin and latency grows */
export const BATCH_MAX_INPUTS = 512
/** inputs waiting for a batch: at 20 k/s about a second of work, a few MB; beyond it callers get 503 instead of a longer queue */
export const ENGINE_QUEUE_MAX = 20_000
/** HTTP callers waiting for instant commands; each holds a socket and about 2 kB */
export const WAITERS_MAX = 10_000
/** times an input may find its device changed by another writer before it is given up: such a race is won within a few */
export const STALE_RETRIES_MAX = 100
/** ms until a sweep that failed is tried again: a store that is ill needs no hammering */
export const RETRY_AFTER_MS = 1_000
/** due devices taken per sweep; the sweep repeats at once while there are more */
export const SWEEP_MAX_DEVICES = 512
/** final commands deleted per purge step, so that a purge never holds the store for long */
export const PURGE_MAX_ROWS = 1_000
/** ms between purge rounds */
export const PURGE_EVERY_MS = 60_000

// --- HTTP --------------------------------------------------------------------------------------------------------
/** bytes of a request body, and so of a command's input */
export const INPUT_MAX_BYTES = 65_536
/** bytes of a request line with its query; node's own header limit is 16 KiB */
export const QUERY_MAX_BYTES = 8_192
/** levels of nesting in a JSON body: JSON.parse is safe beyond it, validators and printers that recurse need not be */
export const JSON_MAX_DEPTH = 32
/** minutes around our clock in which a signed timestamp is taken */
export const CLOCK_WINDOW_MIN = 10
/** s; the vendor's token life */
export const TOKEN_LIFE_S = 7_200
/** default page of command search */
export const PAGE_SIZE_DEFAULT = 100
/** largest page: 1,000 structs of a few hundred bytes each stay under 1 MB in the common case */
export const PAGE_SIZE_MAX = 1_000
/** characters of a search expression */
export const EXPRESSION_MAX_CHARS = 4_096
/** terms in a search expression, and its nesting: it is compiled to one SQL condition */
export const EXPRESSION_MAX_TERMS = 64
export const EXPRESSION_MAX_DEPTH = 16
/** paths in a projection */
export const PROJECTION_MAX_PATHS = 64
/** characters of one such path; the longest real one has about 40 */
export const PROJECTION_PATH_MAX_CHARS = 256
/** characters of a refused value, and of the path to it, that a message repeats: enough to recognise it, too few to flood a log */
export const QUOTE_MAX_CHARS = 64
export const QUOTE_PATH_MAX_CHARS = 240
/** ms for open requests at SIGTERM before sockets are closed; the whole stop must fit in 10 s */
export const STOP_GRACE_MS = 8_000

// --- MQTT --------------------------------------------------------------------------------------------------------
/** bytes of one packet from a device: a reply with outputs as large as the largest input, and its envelope */
export const PACKET_MAX_BYTES = 131_072
/** bytes of the CONNECT packet: nobody is known yet, so little is given */
export const CONNECT_MAX_BYTES = 4_096
/** ms from the TCP connection to a whole CONNECT */
export const CONNECT_WAIT_MS = 10_000
/** ms of quiet after CONNACK or the last SUBSCRIBE that make a device ready; the C SDK drops what comes earlier */
export const READY_AFTER_MS = 2_000
/** ms after CONNACK at which a device is ready whatever it still subscribes to */
export const READY_AT_LATEST_MS = 10_000
/** unacknowledged publishes per connection, or fewer where the client's Receive Maximum says so */
export const INFLIGHT_MAX = 32
/** uplink packets of one connection not yet committed; above it the socket is not read */
export const UPLINK_PENDING_MAX = 64
/** bytes waiting in one socket's write buffer; a reader slower than this is closed */
export const WRITE_BUFFER_MAX_BYTES = 262_144
/** ms of silence after a command that close a suspect connection, at least */
export const SUSPECT_CLOSE_MIN_MS = 10_000
/** ms of it where the client asked for no keep-alive */
export const SUSPECT_CLOSE_NO_KEEPALIVE_MS = 60_000
/** filters in one SUBSCRIBE, and held by one session: the largest known client subscribes to 28, plus 15 per sub-device */
export const SUBSCRIPTIONS_MAX = 4_096
/** open device connections; each holds about 30 kB */
export const CONNECTIONS_MAX = 50_000
/** characters of a device's message that are kept */
export const DEVICE_MESSAGE_MAX_CHARS = 1_024

// --- fleet -------------------------------------------------------------------------------------------------------
/** bytes of a fleet file */
export const FLEET_FILE_MAX_BYTES = 16_777_216
/** characters of a STRING value where the model names no maxLength */
export const STRING_MAX_CHARS = 1_024
/** problems listed for one thing model; whoever has more corrects these first */
export const MODEL_PROBLEMS_MAX = 50
/** timezones kept resolved; IANA has about 600 names with all aliases, a fleet lives in a few, and each formatter holds some 10 kB */
export const TIMEZONES_CACHED_MAX = 128
