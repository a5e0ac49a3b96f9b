// Every bound of the product, with its unit and the reason for the figure. Where options may change one, this is the default.
// Relations that must hold between them are asserted in test/limits.test.ts.

// --- queue -------------------------------------------------------------------------------------------------------
/** created commands per device; the vendor documents 50 */
export const QUEUE_CAP = 50
/** largest cap that an option may set: every step loads the open commands of its devices, and 512 devices of this size are still about 100 MB */
export const QUEUE_CAP_MAX = 1_000
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
/** ms in which a device's next connect, and its next disconnect, leave no event: one in a reboot loop must not fill the disk (2 events of 75 bytes, 1.3 MB a day) */
export const SESSION_EVENT_EVERY_MS = 10_000
/** days that a final command stays on record; the vendor keeps 7 */
export const RETENTION_DAYS = 7
/** days; ten years: beyond it an archive is meant, not a queue */
export const RETENTION_MAX_DAYS = 3_650
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

// --- store -------------------------------------------------------------------------------------------------------
/** ms that opening a store waits for another process to let go of its file: a predecessor that is just closing needs no longer */
export const STORE_LOCK_WAIT_MS = 250
/** KiB of pages that the embedded store keeps in memory: the recent end of every index of some million commands */
export const STORE_CACHE_KIB = 65_536
/** pages of 4 KiB in the write-ahead log before they are moved into the file: some 20 batches of 64 devices share one move */
export const STORE_WAL_PAGES = 4_000
/** bytes that the log may keep on the disk once it was moved; one large batch may make it longer for a while */
export const STORE_WAL_MAX_BYTES = 67_108_864

// --- HTTP --------------------------------------------------------------------------------------------------------
/** bytes of a request body, and so of a command's input */
export const INPUT_MAX_BYTES = 65_536
/** bytes; bounds of the option: below, signed bodies of ordinary commands no longer fit; above, a command no longer fits the device's socket buffer twice */
export const INPUT_OPTION_MIN_BYTES = 1_024
export const INPUT_OPTION_MAX_BYTES = 131_072
/** bytes of a request line with its query; node's own header limit is 16 KiB */
export const QUERY_MAX_BYTES = 8_192
/** levels of nesting in a JSON body: JSON.parse is safe beyond it, validators and printers that recurse need not be */
export const JSON_MAX_DEPTH = 32
/** minutes around our clock in which a signed timestamp is taken */
export const CLOCK_WINDOW_MIN = 10
/** minutes; a day: beyond it a captured call would be good almost for ever */
export const CLOCK_WINDOW_MAX_MIN = 1_440
/** s; the vendor's token life */
export const TOKEN_LIFE_S = 7_200
/** characters of an access token that is looked up; ours have 43 */
export const ACCESS_TOKEN_MAX_CHARS = 128
/** default page of command search */
export const PAGE_SIZE_DEFAULT = 100
/** largest page in commands */
export const PAGE_SIZE_MAX = 200
/** largest page in bytes of stored JSON: all other calls wait while a page is made, 100 ms for this much, and 300 ms where it is nothing but brackets. 200
 * commands with the largest inputs and outputs would be 38 MB */
export const PAGE_MAX_BYTES = 4_194_304
/** characters of a search expression */
export const EXPRESSION_MAX_CHARS = 4_096
/** terms in a search expression, and its nesting: it is compiled to one SQL condition */
export const EXPRESSION_MAX_TERMS = 64
/** of them comparisons of names: each is decided for every distinct name of the device before anything is read */
export const EXPRESSION_MAX_NAME_TERMS = 8
export const EXPRESSION_MAX_DEPTH = 16
/** paths in a projection */
export const PROJECTION_MAX_PATHS = 64
/** characters of one such path; the longest real one has about 40 */
export const PROJECTION_PATH_MAX_CHARS = 256
/** characters of a refused value, and of the path to it, that a message repeats: enough to recognise it, too few to flood a log */
export const QUOTE_MAX_CHARS = 64
export const QUOTE_PATH_MAX_CHARS = 240
/** ids of a thing model that a misspelt one is compared with: a hundred of the longest take 3 ms, and ordinary ones a tenth of that */
export const HINT_CANDIDATES_MAX = 100
/** open HTTP connections; waiting callers hold one each, so this must be above WAITERS_MAX */
export const HTTP_CONNECTIONS_MAX = 20_000
/** ms for the headers of a request, and for all of it: a caller that dribbles holds a socket no longer */
export const HEADERS_WAIT_MS = 20_000
export const REQUEST_WAIT_MS = 30_000
/** ms between two looks at whose time is over: so much longer may a caller dribble */
export const CONNECTIONS_CHECK_MS = 1_000
/** ms that a connection is kept without a request: longer than the 60 s after which load balancers in front close theirs */
export const KEEP_ALIVE_MS = 72_000
/** requests of one connection that are not answered; one is performed, the others wait. Clients that send ahead at all send a few; each takes about 5 kB */
export const PIPELINED_MAX = 32
/** ms in which an answer must have been read: enough for the largest page at 0.6 Mbit/s */
export const ANSWER_READ_MAX_MS = 60_000
/** bytes of answers that wait to be read, all connections together; beyond it the connection that has been waiting longest is closed */
export const ANSWERS_UNREAD_MAX_BYTES = 134_217_728
/** ms for which the text of the metrics is kept: Prometheus asks every few seconds, and making it takes some ms */
export const METRICS_TEXT_MS = 1_000
/** ms for open requests at SIGTERM before sockets are closed; the whole stop must fit in 10 s */
export const STOP_GRACE_MS = 8_000
/** ms after SIGTERM at which the process ends whatever is still open; 10 s are promised */
export const STOP_AT_LATEST_MS = 9_500

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
/** packets of one connection in one turn of the loop, and ms of them: so much may one device hold up all others, however much it sends */
export const TURN_MAX_PACKETS = 256
export const TURN_MAX_MS = 5
/** filters held by one session: the largest known client subscribes to 28, plus 15 per sub-device */
export const SUBSCRIPTIONS_MAX = 4_096
/** characters of all that a session subscribed to, and of what it asked not to hear: 300 filters of the longest that a device has use for */
export const SUBSCRIPTIONS_MAX_CHARS = 65_536
/** filters in one SUBSCRIBE or UNSUBSCRIBE: every known client sends them one by one, and reading as many takes half a ms */
export const FILTERS_PER_PACKET_MAX = 256
/** open device connections; each holds about 30 kB */
export const CONNECTIONS_MAX = 50_000
/** connections beyond that which are heard out, so that a client learns that the server is full rather than broken; more are dropped at once */
export const CONNECTIONS_SPARE = 1_000
/** ms before a refused login is told so: a client that tries again without a pause gets four attempts a second */
export const REFUSED_LOGIN_DELAY_MS = 250
/** ms that a closed connection is kept for its last packet to be read */
export const CLOSE_LINGER_MS = 1_000
/** characters of a topic or filter that is remembered or answered to; the longest of a device's own has 219 */
export const TOPIC_MAX_CHARS = 512
/** characters of an id, as JSON text, that is looked at or echoed: ids of commands have 19 digits, SDKs count their requests from 1 */
export const REQUEST_ID_MAX_CHARS = 128
/** lines that one connection may write to the log about odd packets; all are counted */
export const ODDITIES_LOGGED = 8
/** lines per second about refused logins, and as many about failed TLS handshakes; the next line says how many were left out */
export const REFUSALS_LOGGED_PER_S = 10
/** characters of a device's message that are kept */
export const DEVICE_MESSAGE_MAX_CHARS = 1_024
/** characters of a device's code that are kept as it sent it; the largest integer has 16 */
export const DEVICE_CODE_MAX_CHARS = 64

// --- fleet -------------------------------------------------------------------------------------------------------
/** bytes of a fleet file: 50,000 devices. Its tree takes about 80 bytes of memory for each; larger fleets come in several files, which only add */
export const FLEET_FILE_MAX_BYTES = 8_388_608
/** lexical tokens of a fleet file, blanks and punctuation included: a file of devices has one for every three bytes; one of nothing but brackets has one a byte */
export const FLEET_FILE_MAX_TOKENS = 4_000_000
/** values that the aliases of a fleet file may stand for, all together: a few lines of them can stand for billions */
export const FLEET_FILE_MAX_ALIASED = 100_000
/** levels of nesting in a fleet file; the deepest thing model needs about 20, and its readers recurse */
export const FLEET_FILE_MAX_DEPTH = 64
/** problems listed for one fleet file; whoever has more corrects these first */
export const FLEET_PROBLEMS_MAX = 20
/** characters of an appKey, and of each secret; UUIDs have 36 */
export const SECRET_MAX_CHARS = 128
/** characters of an organization's name */
export const NAME_MAX_CHARS = 256
/** parsed thing models kept; each takes about ten times its JSON, some 100 kB for a large one */
export const MODELS_CACHED_MAX = 256
/** characters of a STRING value where the model names no maxLength */
export const STRING_MAX_CHARS = 1_024
/** problems listed for one thing model; whoever has more corrects these first */
export const MODEL_PROBLEMS_MAX = 50
/** timezones kept resolved; IANA has about 600 names with all aliases, a fleet lives in a few, and each formatter holds some 10 kB */
export const TIMEZONES_CACHED_MAX = 128

// --- command line ------------------------------------------------------------------------------------------------
/** bytes of an answer that the client reads: a full page of the largest commands */
export const ANSWER_MAX_BYTES = 134_217_728
/** ms that the client waits for an answer beyond the timeout of the command it sends */
export const ANSWER_MARGIN_MS = 10_000
/** attempts to get a token: two calls of one application in the same millisecond have the same encryption, and the later is refused as repeated */
export const TOKEN_ATTEMPTS = 3
/** commands in a printed list where no limit is given: what a screen holds */
export const LIST_LIMIT_DEFAULT = 20
/** simulated devices in one process; each holds a socket, and file descriptors are scarcer than memory */
export const SIMULATED_DEVICES_MAX = 10_000
/** ms between the first connects of simulated devices, so that many do not come as one flood */
export const SIMULATED_START_EVERY_MS = 2
/** ms until a simulated device connects again: doubled after each failure, up to the second figure, as the vendor's C SDK does */
export const RECONNECT_MIN_MS = 1_000
export const RECONNECT_MAX_MS = 30_000
/** s; keep-alive of a simulated device, as the vendor's SDKs have it on the wire */
export const SIMULATED_KEEPALIVE_S = 60
/** bytes of one packet to a simulated device: the largest input with its envelope, twice */
export const SIMULATED_PACKET_MAX_BYTES = 262_144
/** s; longest run, longest absence and slowest answer that the simulator's options take: a day */
export const SIMULATED_SPAN_MAX_S = 86_400
/** ms that a simulated device waits for CONNACK, and for the last acknowledgement when it ends */
export const SIMULATED_PATIENCE_MS = 10_000
/** ms that the demo waits for its device to be let in, sent to and answered: on a loaded machine a few hundred */
export const DEMO_PATIENCE_MS = 10_000
