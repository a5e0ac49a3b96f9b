// Every bound of the client, with its unit and the reason for the figure. Where an option may change one, this is the default.
// Not here: the server's own bounds, which it tells when they are met.

/** repeats of a call after the first attempt: with the pauses below some seconds, in which a server restarts */
export const RETRIES = 4
/** most that the option takes: beyond it a loop of the caller's own is meant, which can say how far it is */
export const RETRIES_MAX = 20
/** ms before the first repeat; doubled after each, up to the second figure, and each is drawn from its upper half, so that callers do not come as one */
export const PAUSE_MIN_MS = 200
export const PAUSE_MAX_MS = 10_000
/** ms; a server that asks for a longer pause (Retry-After) is told of by an error instead: the caller may have something better to do */
export const RETRY_AFTER_MAX_MS = 60_000
/** ms that an answer may take beyond what is asked of the server, such as the timeout of an instant command */
export const ANSWER_MARGIN_MS = 10_000
/** ms; the longest that a timer can be set to: a longer one would end at once */
export const TIMER_MAX_MS = 2_147_483_647
/** bytes of an answer: a full page of the largest commands */
export const ANSWER_MAX_BYTES = 134_217_728
/** characters of somebody else's text in a message */
export const SHOWN_CHARS = 200

/** ms before its end at which a token is renewed, beside the calls that go on with it; half of its life where that is less */
export const RENEW_BEFORE_MS = 600_000
/** ms until a renewal that failed is tried again */
export const RENEW_AGAIN_MS = 5_000
/** attempts to get a token: two calls of one application in the same millisecond have the same proof, and the later is refused as repeated */
export const TOKEN_ATTEMPTS = 5
/** ms by which the next attempt's timestamp is moved on, at most: it is drawn, so that many who start at once part */
export const TOKEN_SPREAD_MS = 50
/** ms between the clocks of both ends from which on an error speaks of it: a few seconds are on the way, or rounded off */
export const SKEW_TOLD_MS = 30_000

/** commands, devices or other things that one page of an iteration holds: few calls, and none of them is large */
export const PAGE_SIZE = 100

/** ms between two looks at a command that is waited for: at first, and at most */
export const LOOK_MIN_MS = 250
export const LOOK_MAX_MS = 5_000
/** ms between two looks where the stream of events tells of it: only what no event would tell is found by them */
export const LOOK_STREAMED_MS = 30_000
/** streams that waiting opens at a time: a browser has six connections to a server, and the calls themselves need some. Others look instead */
export const WAIT_STREAMS_MAX = 2

/** ms of silence after which a stream is taken for dead and opened again: the server says something every few seconds */
export const STREAM_SILENCE_MS = 45_000
/** characters of one event of a stream: the largest has a late reply of some hundred characters in it */
export const EVENT_MAX_CHARS = 1_048_576
