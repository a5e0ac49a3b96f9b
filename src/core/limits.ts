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
/**
 * ms for which a call with an Idempotency-Key may be repeated, beyond its pendingTtl: a day, so that who finds out in the morning still may. What is kept
 * of one is some 300 bytes, less than its command
 */
export const REPEATS_KEPT_MS = 86_400_000
/** characters of an Idempotency-Key: a UUID has 36, and names that people make up have room */
export const IDEMPOTENCY_KEY_MAX_CHARS = 255
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
/** the largest number of a device: stores keep it in 32 bits */
export const DEVICE_ID_MAX = 2_147_483_647
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
/** ms that a batch may be in flight before callers are told to come again instead of waiting behind it: PostgreSQL is not there, or does not answer */
export const BATCH_STALL_MS = 5_000
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
/** prepared statements of searches: callers ask in a few shapes, each takes two, and one of the most terms holds some 100 kB */
export const STORE_SEARCHES_PREPARED_MAX = 64
/** devices that are read at a time where a text cannot be looked for by the database: of each the names are read by JavaScript, some µs a piece */
export const VIEW_TEXT_ROWS = 500
/** devices that a search looks at in one go where it has to look at all of them: some ten ms, in which nothing else is done. On SQLite with one comparison;
 * with more of them fewer devices, since each looks up labels of each device */
export const VIEW_SEARCH_DEVICES = 5_000
/** comparisons of fields that count as one of labels, which has to look further. A search of no more asks of all devices at once: 20 ms with 30,000 of them */
export const VIEW_SEARCH_FIELDS = 16
/** searches that go through all devices, and wait for the one under way; and of one organization. One takes 0.1 s with 30,000 devices, the longest some seconds */
export const STORE_SEARCHES_WAITING_MAX = 32
export const STORE_SEARCHES_WAITING_PER_ORGANIZATION_MAX = 16

// --- store on PostgreSQL -----------------------------------------------------------------------------------------
/** connections that the node's lease has to itself: it must not wait behind anything */
export const POSTGRES_LEASE_CONNECTIONS = 1
/** connections for the engine: one batch is in flight at a time, and what is to be read is loaded beside it */
export const POSTGRES_STEP_CONNECTIONS = 3
/** connections for all other reads and writes of a node: PostgreSQL holds a process for each, and with ten a node leaves room for nine more of its kind */
export const POSTGRES_OTHER_CONNECTIONS = 6
/** ms until a connection is there, be it a new one or one that another call has */
export const POSTGRES_CONNECT_WAIT_MS = 2_000
/** ms that PostgreSQL gives a statement, a lock, and a transaction that waits for us: ours take a few; a node that hangs must not hold the others up */
export const POSTGRES_STATEMENT_MAX_MS = 2_000
/** the same for a fleet: 50,000 devices in one statement */
export const POSTGRES_FLEET_STATEMENT_MAX_MS = 30_000
/** the same for a migration, which may build an index over all that is on record */
export const POSTGRES_MIGRATION_STATEMENT_MAX_MS = 3_600_000
/** ms without an answer after which a connection is given up: longer than PostgreSQL's own bound, so that its word comes first where it still speaks */
export const POSTGRES_ANSWER_WAIT_MS = 5_000
/** ms for which work is tried again after the connection was lost, before its caller is told: a restart of PostgreSQL takes about as long */
export const POSTGRES_RETRY_MS = 6_000
/** ms until the next attempt: doubled after each, up to the second figure; each is drawn up to half as long again, so that nodes do not come as one */
export const POSTGRES_BACKOFF_MIN_MS = 20
export const POSTGRES_BACKOFF_MAX_MS = 500
/** ms after which a connection's statements are planned anew: it takes 10 ms, and a table can hardly grow by more than 50,000 rows meanwhile */
export const POSTGRES_PLAN_LIFE_MS = 10_000
/** events that get a position in the stream of changes at a time: some 100 ms */
export const PLACED_MAX = 5_000
/** devices of a node's last life that are marked as away at a time: some 100 ms, for which the row of the node, and with it its lease, may have to wait */
export const POSTGRES_SESSIONS_AT_ONCE = 2_000
/** ms of quiet after which the operating system looks whether the other end of a connection is still there */
export const POSTGRES_KEEPALIVE_MS = 10_000

// --- moving a store to PostgreSQL --------------------------------------------------------------------------------
/** rows that are written, and then compared, at a time: the round trip counts for little, and they fit many times into memory */
export const COPY_PAGE_ROWS = 2_000
/** bytes of their texts, where that is less; one row may have more */
export const COPY_PAGE_BYTES = 4_194_304
/** ms that PostgreSQL gives one statement of it: a page takes some ms, the look at all tables for their statistics some seconds */
export const COPY_STATEMENT_MAX_MS = 120_000
/** ms that PostgreSQL waits for the next page: the disk of the file may be slow, and read at random. Its end frees what a move that hangs has locked */
export const COPY_IDLE_MAX_MS = 60_000
/** ms that it waits for others to let go of the tables: those of a move that was killed are free as soon as its last page is written */
export const COPY_LOCK_WAIT_MS = 2_000
/** ms that it goes on asking what became of a COMMIT that was not answered: longer than PostgreSQL waits for one that never comes */
export const COPY_DOUBT_MS = 90_000
/** ms between two lines about how far it is */
export const COPY_PROGRESS_EVERY_MS = 2_000

// --- nodes -------------------------------------------------------------------------------------------------------
/** ms for which a node's lease is good: three heartbeats may fail, and a restart of PostgreSQL pass, before others take its devices' work over */
export const NODE_LEASE_MS = 5_000
/** ms between two heartbeats: each is two small statements */
export const NODE_HEARTBEAT_MS = 1_000
/** ms by which nodes keep apart: one ends its work so long before its lease, others begin so long after it. Twice the most that two clocks differ */
export const NODE_MARGIN_MS = 1_000
/** ms; a look at the store's clock that took longer is not gone by: what it says is wrong by up to half of it, and so two clocks differ by as much */
export const NODE_ROUND_TRIP_MAX_MS = 500
/** ms without a heartbeat after which a node lets its devices go, so that they may find one that works; a restart or failover of PostgreSQL is over by then */
export const NODE_CUT_OFF_MS = 60_000
/** looks at the store's clock at the start before it is given up: one that is never answered in time cannot be kept time by */
export const NODE_JOIN_ATTEMPTS = 10
/** share of its pace that a clock loses while it is ahead of the store's: a step of 1 s is made good in 10 s, and no timeout is longer by more than that */
export const NODE_SLEW = 0.1
/** ms for which a node that is told to stop serves on, no longer ready, where there are others: as long as balancers take to notice */
export const NODE_LEAVE_MS = 2_000
/** ms until the next page of what is due, where there was a full one: others have their turn between the two */
export const SWEEP_SOON_MS = 50
/** ms between two looks for what a lost signal left */
export const NODE_SWEEP_MS = 1_000
/** sessions of links that one such look compares with the store: the most that a node may have are through in ten */
export const NODE_SWEEP_SESSIONS = 5_000
/** commands with a waiting caller that one statement asks about */
export const NODE_SWEEP_WAITERS = 1_000
/** bytes of one text from node to node; PostgreSQL takes less than 8,000. It holds a thousand devices, or two hundred commands */
export const SIGNAL_TEXT_MAX_BYTES = 7_900
/** devices and commands that wait to be told to other nodes: what a node settles in some seconds, about 5 MB. Others find by looking what is beyond */
export const SIGNAL_BACKLOG_MAX = 50_000
/** ms until the connection that carries signals is there */
export const SIGNAL_CONNECT_WAIT_MS = 2_000
/** ms between two looks whether it still is one: a cut that nobody tells of is seen after this and the next together */
export const SIGNAL_LOOK_MS = 1_000
/** ms without an answer after which it is given up */
export const SIGNAL_ANSWER_WAIT_MS = 2_000
/** ms that PostgreSQL gives a statement on it, and the lock that every NOTIFY takes: less than that, so that its word comes first where it still speaks */
export const SIGNAL_STATEMENT_MAX_MS = 1_000
/** ms until it is made anew: doubled after each failure, up to the second figure; each is drawn up to half as long again */
export const SIGNAL_BACKOFF_MIN_MS = 20
export const SIGNAL_BACKOFF_MAX_MS = 500
/** ms at the end of a process for telling what is left, and as many for ending the connection: whoever misses it finds it by looking */
export const SIGNAL_CLOSE_MS = 500
/** ms between two lines of one kind in the log: what is wrong with a carrier is wrong many times a second */
export const SIGNAL_LOG_EVERY_MS = 10_000
/** addresses of NATS servers in one --signal: they are tried one after the other, and tell of the rest of their cluster themselves */
export const NATS_SERVERS_MAX = 16
/** characters of the name under which an installation's nodes talk on NATS: it is part of every message */
export const NATS_NAME_MAX_CHARS = 64

// --- connections that come from balancers ------------------------------------------------------------------------
/** ms in which a connection's PROXY header must be there; its specification asks for 3 s at least, so that a packet that was lost may come again */
export const PROXY_HEADER_WAIT_MS = 5_000
/** bytes of one in text, with its end; the specification's figure */
export const PROXY_LINE_MAX_BYTES = 107
/** bytes of one in binary: the longest addresses take 232, and what balancers add some hundred; nginx takes as many as this */
export const PROXY_HEADER_MAX_BYTES = 4_096

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
/** characters of the administrator's token: 32 random hexadecimal digits are 128 bits, which nobody guesses; it fits a header many times */
export const ADMIN_TOKEN_MIN_CHARS = 32
export const ADMIN_TOKEN_MAX_CHARS = 512
/** hours that an operator's token is good for, unless it is said: a working day, and a night shift */
export const OPERATOR_TOKEN_HOURS = 12
/** hours; a week: what somebody keeps in a browser for longer is better made anew */
export const OPERATOR_TOKEN_HOURS_MAX = 168
/** characters of an operator's name; with @ and an orgId of 64 it is an appKey, which has 128 at most */
export const OPERATOR_NAME_MAX_CHARS = 32
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
/** bytes of the console's files, all forms of them together, which are kept in memory: about ten times what the build makes */
export const CONSOLE_FILES_MAX_BYTES = 16_777_216
/** organizations that a caller in open mode is told of: whoever has more knows the one he means */
export const WHOAMI_ORGANIZATIONS_MAX = 200
/** ms for which the text of the metrics is kept: Prometheus asks every few seconds, and making it takes some ms */
export const METRICS_TEXT_MS = 1_000
/** ms for open requests at SIGTERM before sockets are closed; the whole stop must fit in 10 s */
export const STOP_GRACE_MS = 8_000
/** the same for a node that is cut off from its store: nothing that is open can be finished */
export const STOP_CUT_OFF_GRACE_MS = 2_000
/** ms in which a store that is there answers, at a stop: longer, and whoever waits for it is told that it is not */
export const STORE_LOOK_MS = 250
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
/** ms after CONNACK at which a device that logged in with its product's secret is given its own: one SDK loses what comes at once, another gives up after 800 */
export const ACTIVATION_AFTER_MS = 80
/** unacknowledged publishes per connection, or fewer where the client's Receive Maximum says so */
export const INFLIGHT_MAX = 32
/** bytes of them: what is written must fit the socket's buffer twice, or a gateway that reads as fast as it can would be taken for one that does not. One may be larger */
export const UNACKED_MAX_BYTES = 131_072
/** uplink packets of one connection not yet committed; above it the socket is not read */
export const UPLINK_PENDING_MAX = 64
/** bytes waiting in one socket's write buffer; a reader slower than this is closed */
export const WRITE_BUFFER_MAX_BYTES = 262_144
/** ms in which a client must have read answers that fill half of that, before it is taken for gone */
export const ANSWERS_READ_MAX_MS = 30_000
/** ms for what a client asked before it said goodbye, or closed its end */
export const LAST_REQUESTS_MAX_MS = 2_000
/** ms of silence after a command that close a suspect connection, at least */
export const SUSPECT_CLOSE_MIN_MS = 10_000
/** ms of it where the client asked for no keep-alive */
export const SUSPECT_CLOSE_NO_KEEPALIVE_MS = 60_000
/** packets of one connection in one turn of the loop, and ms of them: so much may one device hold up all others, however much it sends. As many ms of all
 * requests of devices together, where one of them does not take longer by itself */
export const TURN_MAX_PACKETS = 256
export const TURN_MAX_MS = 5
/** filters held by one session: the largest known client subscribes to 28, plus 15 per sub-device */
export const SUBSCRIPTIONS_MAX = 4_096
/** characters of all that a session subscribed to, and of what it asked not to hear: 300 filters of the longest that a device has use for */
export const SUBSCRIPTIONS_MAX_CHARS = 65_536
/** the same for a gateway: 3,000 filters of 80 characters, as the C SDK has them for 200 sub-devices */
export const GATEWAY_SUBSCRIPTIONS_MAX_CHARS = 262_144
/** filters in one SUBSCRIBE or UNSUBSCRIBE: every known client sends them one by one, and reading as many takes half a ms */
export const FILTERS_PER_PACKET_MAX = 256
/** open device connections; each holds about 30 kB */
export const CONNECTIONS_MAX = 50_000
/** channels of one product: an integration has a few; whoever knows a product's secret must not fill the server with them */
export const CHANNELS_MAX_PER_PRODUCT = 64
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
/** refused logins of one device from one address before its next ones are refused unseen: whoever mistypes a secret finds out with fewer */
export const LOGIN_PAIR_BURST = 10
/** ms after which it may try once more: whoever guesses needs 50 years for six letters, and a device whose secret was corrected is in within 5 s */
export const LOGIN_PAIR_EVERY_MS = 5_000
/** refused logins from one address, whatever the devices: hundreds of them may share the address of their router */
export const LOGIN_SOURCE_BURST = 200
/** ms for each one after that: 20 look-ups a second are nothing to the store */
export const LOGIN_SOURCE_EVERY_MS = 50
/** addresses, and pairs of address and device, that are remembered with their refused logins: some 15 MB. One address can have about 300 pairs at a time */
export const LOGIN_SOURCES_MAX = 10_000
export const LOGIN_PAIRS_MAX = 50_000
/** lines that one connection may write to the log about odd packets; all are counted */
export const ODDITIES_LOGGED = 8
/** lines per second about refused logins, as many about failed TLS handshakes, and about PROXY headers; the next line says how many were left out */
export const REFUSALS_LOGGED_PER_S = 10
/** characters of a device's message that are kept */
export const DEVICE_MESSAGE_MAX_CHARS = 1_024
/** characters of a device's code that are kept as it sent it; the largest integer has 16 */
export const DEVICE_CODE_MAX_CHARS = 64

// --- devices over HTTP -------------------------------------------------------------------------------------------
/** ms of quiet after which a device's session ends where it does not say; the vendor's figure */
export const HTTP_LIFETIME_DEFAULT_MS = 300_000
/** ms; the least that a device may ask for: below, it would log in for nearly every report */
export const HTTP_LIFETIME_MIN_MS = 1_000
/** ms; the most, a day: so long a device counts as online without a sign of life, and a session id that leaked is good */
export const HTTP_LIFETIME_MAX_MS = 86_400_000
/** ms for which a session outlives what was asked for: the device counts from our answer's arrival, and its last request is under way for a while */
export const HTTP_LIFETIME_GRACE_MS = 10_000
/** sessions of HTTP devices; each holds about 2 kB and a timer */
export const HTTP_SESSIONS_MAX = 50_000
/** requests of one session that are not answered; one is performed, the others wait. The vendor's SDK sends one at a time for each thread that uses it */
export const HTTP_SESSION_REQUESTS_MAX = 32
/** bytes of the body of a device's login: some hundred in practice; nobody is known yet, so little is given */
export const HTTP_LOGIN_MAX_BYTES = 4_096
/** command types that a login may name; the vendor has two */
export const HTTP_COMMAND_TYPES_MAX = 16
/** bytes of a command in a response header: node's own client takes 16 KiB of headers in all, the vendor's SDK 256 KiB, proxies as they are set up */
export const HTTP_COMMAND_MAX_BYTES = 8_192
/** answers to commands that are being put on record, of all HTTP devices together: some ms each, and at most 128 MB of them where the store is away */
export const HTTP_REPLIES_MAX = 1_000
/** commands that one request may find unfit for a header, and so failed, before it is answered without one: the next request goes on */
export const HTTP_UNFIT_MAX = 8

// --- what devices report -----------------------------------------------------------------------------------------
/** measurepoints with a latest value per device: some thousand for a large one; beyond it a product without a model would let a device fill the disk */
export const POINTS_MAX_PER_DEVICE = 5_000
/** attributes per device, and tags per device, and kinds of events; the vendor takes 200 attributes or tags in one request */
export const ATTRIBUTES_MAX_PER_DEVICE = 1_000
/** characters of the id of a measurepoint, event, attribute or tag that is kept; those of models have as many at most */
export const DATA_ID_MAX_CHARS = 64
/** devices that one register request may hold; the vendor's figure */
export const REGISTER_MAX_DEVICES = 1_000
/** devices that a product may have for a gateway to register more: ten times what the vendor allows; a gateway must not fill the disk */
export const REGISTER_UP_TO_DEVICES = 100_000
/** sub-devices logged in over one gateway's connection: the vendor's 200, and room for those who come and go */
export const SUBDEVICES_ONLINE_MAX = 1_000
/** sub-devices in one topology, online or not: all of them are read when their gateway connects, or asks for them, in about 20 ms */
export const TOPOLOGY_MAX_DEVICES = 5_000
/** items of one request: measurepoints of so many devices, devices that come into a topology or leave it; each may cost a look-up. Others have their turn
 * between two of them after TURN_MAX_MS */
export const REQUEST_ITEMS_MAX = 1_000
/** attributes, or tags, in one request; the vendor's figure */
export const ATTRIBUTES_MAX_PER_REQUEST = 200
/** bytes of one reported value, or of all outputs of an event, as JSON text: thousands of array elements. The worst that one device can put on the disk
 * is 82 MB of measurepoints, 16 MB of attributes and as much of events, and 3 MB of tags */
export const REPORTED_MAX_BYTES = 16_384
/** characters of a tag's text: a note, not a document; each is up to 3 bytes */
export const TAG_MAX_CHARS = 1_024
/** members of a payload beside each other: id, version, params, method and a few more are of use, and each costs a microsecond */
export const PAYLOAD_MAX_MEMBERS = 1_000
/** names, objects and lists in one request: as many as REQUEST_MAX_VALUES with their qualities have, and some; reading so many takes 15 ms,
 * and a compressed payload of nothing else took 150. Elements of lists are cheap, and not counted */
export const PAYLOAD_MAX_PARTS = 25_000
/** values in one request, in all its items together: they are saved in one transaction, which holds up everybody else for 15 to 30 ms where they are so many */
export const REQUEST_MAX_VALUES = 5_000
/** characters of a thing model that a device is told of: with twice as many the answer could not hold it, and to find that out for a large one takes 100 ms */
export const TOLD_MODEL_MAX_CHARS = 491_520
/** ms that a device's clock may be ahead of ours before its time counts as ours: a value dated far ahead would keep every later one from being the latest */
export const REPORT_AHEAD_MAX_MS = 300_000
/** bytes of the answer to a request: with its packet still less than may wait in a socket; 1,000 registered devices fit, however long their keys */
export const REQUEST_ANSWER_MAX_BYTES = 245_760
/** rows saved in one transaction, where a request does not bring more by itself: 6 to 20 ms, in which everybody else waits. A change counts as one more
 * than it has values: its device is looked at */
export const SAVE_BATCH_MAX_ROWS = 2_000
/** characters for which a value counts as one row more: the largest cost as much as nine small ones */
export const SAVE_ROW_CHARS = 2_048
/** rows waiting to be saved: a second or two of work and at most 400 MB of text; beyond it devices are told to come again instead of a longer queue */
export const SAVE_QUEUE_MAX_ROWS = 200_000
/** times that new names are drawn for devices before it is given up: 8 random characters meet a taken one once in 10^8 draws on a large fleet */
export const NEW_NAMES_ATTEMPTS = 3
/** bytes that one compressed payload may unfold to: the largest message of the vendor's SDKs */
export const DECOMPRESSED_MAX_BYTES = 524_288

// --- codecs ------------------------------------------------------------------------------------------------------
/** ms that one call of a codec may take: it needs well under one, but a machine that is overloaded may let a process wait for some hundred */
export const CODEC_CALL_MS = 500
/** ms to start a codec's process and load its module; 50 on an idle machine */
export const CODEC_LOAD_MS = 5_000
/** processes of codecs at a time, one for each product in use, about 60 MB each; more products than this take turns */
export const CODEC_PROCESSES_MAX = 8
/** MiB of the heap of such a process; a codec keeps nothing, and the garbage of the largest payload takes a few */
export const CODEC_HEAP_MIB = 64
/** bytes of memory that such a process may be seen to hold after a call: buffers lie outside the heap, and node itself takes some 60 MB */
export const CODEC_MEMORY_MAX_BYTES = 268_435_456
/** bytes that a codec may return, as they are or as JSON: as much as a device that speaks JSON may send */
export const CODEC_RESULT_MAX_BYTES = 131_072
/** calls of one product that wait for the one before: a tenth of a second of work; a hang of CODEC_CALL_MS is outlived at 2,000 payloads a second */
export const CODEC_QUEUE_MAX_CALLS = 1_000
/** bytes of what waits in them: 64 of the largest payloads, as one connection may have pending at most */
export const CODEC_QUEUE_MAX_BYTES = 8_388_608
/** times in a row that a codec may cost its process before it is given a rest, and ms of that: a start takes 50 ms of a processor, so a bad one costs less than 2 % */
export const CODEC_LOSSES_MAX = 3
export const CODEC_REST_MS = 10_000
/** ms between two looks at whether the file of a codec has changed */
export const CODEC_LOOK_EVERY_MS = 1_000
/** products whose codec's last failure is remembered; more only means that a bad one is tried again sooner */
export const CODEC_PRODUCTS_REMEMBERED_MAX = 1_000
/** lines per second that one codec may write to the log; the next line says how many were left out */
export const CODEC_LINES_LOGGED_PER_S = 10
/** characters of such a line, and of what a codec says is wrong */
export const CODEC_LINE_MAX_CHARS = 512
/** characters per second of a codec's output that are read: 1 MB is nothing to read; what is beyond stays in its own process, whose heap it fills */
export const CODEC_OUTPUT_MAX_CHARS_PER_S = 1_048_576

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
/** hexadecimal digits of a certificate's serial number: RFC 5280 allows 20 octets, some authorities exceed them */
export const CERTIFICATE_SERIAL_MAX_DIGITS = 64
/** characters of a device's name as JSON text, in all its languages */
export const DEVICE_NAME_MAX_CHARS = 4_096
/** parsed thing models kept; each takes about ten times its JSON, some 100 kB for a large one */
export const MODELS_CACHED_MAX = 256
/** characters of a STRING value where the model names no maxLength */
export const STRING_MAX_CHARS = 1_024
/** problems listed for one thing model; whoever has more corrects these first */
export const MODEL_PROBLEMS_MAX = 50
/** products of an organization; the vendor's figure. All of them are read for a search, some 500 bytes each */
export const PRODUCTS_MAX = 2_000
/** thing models of an organization; the vendor's figure. A search reads the text of all of them */
export const MODELS_MAX = 1_000
/** applications of an organization: people and programs that are told apart; all of them are listed at once */
export const APPLICATIONS_MAX = 1_000
/** grants of an application: one for each resource and scope, and each call reads all of them */
export const GRANTS_MAX = 100
/** products or devices that one grant may name, for the same reason: who needs more is given a product, or all */
export const SCOPE_MAX_KEYS = 1_000
/** times that a change is made again because somebody else changed the same thing meanwhile: an administrator's script, not a storm */
export const CHANGE_ATTEMPTS = 10
/** devices or products in a page of the vendor's searches, where none is asked for, and at most; the vendor's figures */
export const FLEET_PAGE_DEFAULT = 10
export const FLEET_PAGE_MAX = 200
/** characters of a description, of a product or a device: a note, not a document */
export const DESCRIPTION_MAX_CHARS = 1_024
/** bytes of the body of a call about devices: as many as one call may create, each with 256 bytes: keys, a name and a timezone, or half of it with two tags */
export const DEVICES_BODY_MAX_BYTES = 262_144
/** tags of a product; they are in its row, and read with it */
export const PRODUCT_TAGS_MAX = 100
/** timezones kept resolved; IANA has about 600 names with all aliases, a fleet lives in a few, and each formatter holds some 10 kB */
export const TIMEZONES_CACHED_MAX = 128

// --- command line ------------------------------------------------------------------------------------------------
/** repeats of a call that a repeat may help: half a second with the pauses between them, and somebody is waiting for the answer. The client has bounds of its own */
export const CLI_RETRIES = 2
/** ms between two looks at something that goes on in the server */
export const CLI_LOOK_EVERY_MS = 200
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

// --- emulator ----------------------------------------------------------------------------------------------------
/** ms that its clock may be moved at once: a year, well within what an instant may be */
export const EMULATOR_LEAP_MAX_MS = 31_536_000_000
/** steps in which timers that need not be met exactly run during one leap: a poll every second would else make 172,800 of them in 48 hours */
export const EMULATOR_LEAP_STEPS_MAX = 1_000
/** ms of real time that one step waits for devices to answer over their sockets, which takes one or two: beyond it something is stuck */
export const EMULATOR_REST_MAX_MS = 2_000
/** ms from a command to its answer that a fault may ask for: 48 hours, the longest that any command lives */
export const EMULATOR_DELAY_MAX_MS = 172_800_000
/** simulated devices in one emulator: each is a connection, and all connect before it says that it is there */
export const EMULATOR_DEVICES_MAX = 1_000
/** the largest integer of 32 bits: codes of devices */
export const INT32_MAX = 2_147_483_647

// --- views -------------------------------------------------------------------------------------------------------
/** devices in one page of a list */
export const VIEW_PAGE_DEFAULT = 50
/** the largest page: a screen holds some tens, and each row costs a look at its queue */
export const VIEW_PAGE_MAX = 200
/** devices looked at for one page: those that a filter leaves out cost too, and a page must not hold the store for long */
export const VIEW_SCAN_MAX = 5_000
/** ms that counts of devices and commands are good for: whoever looks every second does not make each look a count */
export const STATS_FRESH_MS = 1_000
/** counts kept, by organization and products */
export const STATS_CACHED_MAX = 100
/** steps of one series: a day by minutes, which is more than a plot has pixels for */
export const STATS_STEPS_MAX = 1_500
/** events of one command's timeline: 5 of its own life, some of times that it was not sent after all, LATE_REPLIES_KEPT late ones */
export const TIMELINE_MAX_EVENTS = 1_000

// --- stream of changes -------------------------------------------------------------------------------------------
/** ms between two looks at what other nodes have written: so much later are their changes told, at most, and a look costs two small statements */
export const STREAM_POLL_MS = 250
/** changes that are given their positions by one statement: a batch of the engine leaves about a thousand */
export const STREAM_PLACE_MAX = 1_000
/** changes in one page: some 120 kB as text, which is as much as one follower holds at a time */
export const STREAM_PAGE_MAX = 200
/** changes looked at for one page: those that a filter leaves out cost too, and a read must not hold the store for long */
export const STREAM_SCAN_MAX = 1_000
/** last changes kept for all who follow, about 4 MB: who is no further behind costs the store nothing */
export const STREAM_RING_MAX = 4_096
/** ms in which nothing that was just written is purged, so that what is kept goes on without a gap; the shortest retention is a day */
export const STREAM_FRESH_MS = 60_000
/** pages read at a time for those who are further behind: of the six connections for such reads others must have some */
export const STREAM_READS_MAX = 2
/** reads that wait for one of these: as many as there may be streams, and some thousand webhooks; who finds no room comes again a second later */
export const STREAM_READS_WAITING_MAX = 10_000
/** open streams of events; each holds a connection and up to two pages of text, 250 MB if none of them reads */
export const STREAMS_MAX = 1_000
/** of one organization, so that it leaves some to the others */
export const STREAMS_PER_ORGANIZATION_MAX = 200
/** ms of quiet after which a stream says that it is there, and how far it is; balancers close what is silent for 60 s */
export const STREAM_HEARTBEAT_MS = 15_000
/** ms that a stream lives; the vendor's token life, with which it was opened */
export const STREAM_LIFE_MAX_MS = 7_200_000
/** ms between two looks whether the application may still see what it is told */
export const STREAM_RECHECK_MS = 60_000
/** bytes that wait in a stream before no more is read for it */
export const STREAM_BUFFER_BYTES = 65_536
/** ms in which a reader must have taken something of what waits, before he is cut off: he comes back with his cursor */
export const STREAM_STALLED_MS = 30_000

// --- webhooks ----------------------------------------------------------------------------------------------------
/** webhooks of one organization: each is told on its own, and an integration has a few */
export const WEBHOOKS_MAX_PER_ORGANIZATION = 50
/** changes in one POST: some 60 kB; halved after each failure, so that one that a receiver cannot take is found */
export const WEBHOOK_BATCH_MAX = 100
/** POSTs under way in one process: each holds a socket, and receivers that hang hold theirs for ten seconds */
export const WEBHOOK_POSTS_MAX = 256
/** deliveries that wait for such a place, a few hundred bytes each beside their text; who finds none, or waits for ten seconds, counts as not taken */
export const WEBHOOK_POSTS_WAITING_MAX = 2_000
/** tests and replays under way in one process, beside the deliveries: somebody waits for each, so that none of them waits for a place */
export const WEBHOOK_CALLS_MAX = 64
/** of one organization: people try one webhook or two, and receivers that hang must not take everybody's places */
export const WEBHOOK_CALLS_PER_ORGANIZATION_MAX = 4
/** names looked up at a time: each look-up has one of the four threads of the process for as long as it takes, which may be a minute, and files need one too */
export const WEBHOOK_LOOKUPS_MAX = 3
/** look-ups that wait, at most ten seconds as all of a POST: as many as there are POSTs */
export const WEBHOOK_LOOKUPS_WAITING_MAX = 320
/** ms that a receiver has for its answer */
export const WEBHOOK_ANSWER_WAIT_MS = 10_000
/** bytes of its answer that are read: what counts is the status */
export const WEBHOOK_ANSWER_MAX_BYTES = 4_096
/** characters of an answer, or of an error, that are kept and shown */
export const WEBHOOK_ERROR_MAX_CHARS = 300
/** ms until the next attempt: doubled after each failure, up to the second figure; each is drawn from a half to the whole of it */
export const WEBHOOK_BACKOFF_MIN_MS = 1_000
export const WEBHOOK_BACKOFF_MAX_MS = 900_000
/** ms of failing after which changes that are as old become dead letters, a day: somebody has noticed by then */
export const WEBHOOK_GIVE_UP_MS = 86_400_000
/** ms for which a webhook is one node's to deliver: a node that was killed holds its webhooks up for so long at most */
export const WEBHOOK_TURN_MS = 20_000
/** ms that must be left of it when a POST begins: it takes no longer */
export const WEBHOOK_TURN_MARGIN_MS = 12_000
/** ms between two looks at which webhooks there are, and at what another node delivers */
export const WEBHOOK_LOOK_MS = 5_000
/** ms, and positions, after which it is saved that nothing in between was wanted: a webhook that is told little must not seem to have missed what is purged */
export const WEBHOOK_SAVE_EVERY_MS = 60_000
export const WEBHOOK_SAVE_EVERY_POSITIONS = 10_000
/** ms at a stop for POSTs that are under way; who was not heard gets the same changes again */
export const WEBHOOK_STOP_MS = 2_000
/** characters of a URL */
export const WEBHOOK_URL_MAX_CHARS = 2_048
/** dead letters of one webhook, some 60 MB: beyond it nothing more is given up, and changes wait until they are purged */
export const DEAD_LETTERS_MAX = 100_000
/** ms between two counts of them, for metrics: a count reads them all */
export const DEAD_LETTERS_COUNT_EVERY_MS = 60_000
/** dead letters in a page */
export const DEAD_LETTERS_PAGE_MAX = 200
/** dead letters that one call sends again, and ms after which it begins no further POST: the caller waits for it, and calls again */
export const REPLAY_MAX = 1_000
export const REPLAY_MAX_MS = 15_000

// --- jobs, and cancellations by filter ---------------------------------------------------------------------------
/** devices that a job may list; the vendor's figure */
export const JOB_TARGETS_MAX = 1_000
/** bytes of the body of a call about jobs: so many devices with the longest keys, and the largest input */
export const JOB_BODY_MAX_BYTES = 393_216
/** characters of a job's description; the vendor's figure */
export const JOB_DESC_MAX_CHARS = 100
/** characters of its name as JSON text, in all its languages */
export const JOB_NAME_MAX_CHARS = 4_096
/** s; the vendor's longest wait for an answer to a job's command */
export const JOB_TIMEOUT_MAX_S = 900
/** s until a failed task is tried again, and how often; the vendor's figures */
export const JOB_RETRY_INTERVAL_MAX_S = 86_400
export const JOB_RETRY_INTERVAL_DEFAULT_S = 300
export const JOB_RETRIES_MAX = 10
export const JOB_RETRIES_DEFAULT = 3
/** ms that a job may be scheduled ahead: a year; an instant beyond it is rather one in other units */
export const JOB_AHEAD_MAX_MS = 31_536_000_000
/** jobs of an organization that have not ended: their tasks are looked at again and again */
export const JOBS_OPEN_MAX = 100
/** jobs of an organization on record: a search by name looks at all of their names, and by status at all of them */
export const JOBS_KEPT_MAX = 10_000
/** tasks that one call may name; the vendor's figure */
export const TASK_IDS_MAX = 200
/** jobs or tasks in a page, where none is asked for, and at most; the vendor's figures */
export const JOB_PAGE_DEFAULT = 10
export const JOB_PAGE_MAX = 1_000
/** rows of such a page that are read at a time, so that a page that is too large in bytes is known before it is in memory */
export const JOB_PAGE_CHUNK = 50
/** tasks made, begun or cancelled in one step: they share a batch with what else goes on */
export const JOB_STEP_TASKS = 200
/** tasks whose commands are looked at in one step: 1 ms, and 10 ms where all of them have changed */
export const JOB_LOOK_TASKS = 200
/**
 * ms between two looks at a job's commands: a tenth of the time in which nothing has changed, and not less or more than these. So what moves is seen soon,
 * and a job that waits for devices that are away costs little
 */
export const JOB_LOOK_MIN_MS = 1_000
export const JOB_LOOK_MAX_MS = 10_000
/** steps of one job or cancellation before another has its turn */
export const JOB_VISIT_STEPS = 8
/** jobs, and cancellations, that are found due at a time */
export const JOBS_DUE_MAX = 20
/** ms for which a job is one node's to work on: a node that was killed holds it up for so long at most */
export const JOB_TURN_MS = 15_000
/** ms of it after which it is taken anew, before more is done */
export const JOB_TURN_RENEW_MS = 5_000
/** looks at tasks that are to be cancelled while somebody else keeps changing them */
export const JOB_CANCEL_LOOKS = 3
/** ms that the engine waits at a stop for the step of a job that is in flight, which takes a tenth of it: what it makes can still be sent */
export const JOBS_STOP_MS = 1_000
/** ms that a call waits for its turn at a job, and between two attempts to get it */
export const JOB_TURN_WAIT_MS = 5_000
export const JOB_TURN_AGAIN_MS = 100
/** ms between two looks at what is due, where other nodes make jobs too, and may die with them */
export const JOBS_SWEEP_MS = 2_000
/** ms for which it is known that an attempt has made its command, beyond the time that the command has: a server that was killed in between may be away for long */
export const JOB_KEYS_KEPT_MS = 604_800_000
/** cancellations of an organization that have not ended */
export const CANCELLATIONS_OPEN_MAX = 10
/** cancellations of an organization on record */
export const CANCELLATIONS_KEPT_MAX = 10_000
/** devices whose queues are looked at in one step: 2,500 commands, where each is full */
export const CANCELLATION_STEP_DEVICES = 50
/** looks at devices of which none had anything, before it is saved how far they are */
export const CANCELLATION_EMPTY_STEPS = 20
/** commands cancelled in one step: half a batch, so that others are in it as well */
export const CANCELLATION_STEP_COMMANDS = 256
/** keys of each kind in a filter */
export const CANCELLATION_ASSETS_MAX = 1_000
export const CANCELLATION_KEYS_MAX = 100
/** commands in a page of what was found */
export const CANCELLATION_PAGE_DEFAULT = 100
export const CANCELLATION_PAGE_MAX = 500
