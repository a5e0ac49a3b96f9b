// The list of what must hold, by number. 1 to 15 are those of docs/states.md; the rest is what only a whole run can show. checks.ts and the ledger look.

export const invariants = {
  1: 'an accepted command is never lost',
  2: 'what a cancel reported is never published, what was published is never reported cancelled',
  3: 'at most one command of a device is sent',
  4: 'a command is published at most once',
  5: 'commands are published in the order in which they were accepted',
  6: 'nothing is published at or after its expiry or its deadline',
  7: 'every transition is in the table',
  8: 'device ready and something created implies something is sent',
  9: 'a caller who waits is answered exactly once, by the deadline at the latest',
  10: 'a device has at most as many created commands as the cap says',
  11: 'a final state never changes',
  12: 'what a read shows is durable, and a final state once shown is never taken back',
  13: 'every transition has an event, and events are dense',
  14: 'one bad input never harms another',
  15: 'a dead connection costs at most one command',
  16: 'every answer fits one order of what happened to the device',
  17: 'what was refused is not on record, and what was accepted is on record once',
  18: 'an answer is acknowledged after it is durable, and settles only the command that it names',
  19: 'what is due is settled at once',
  20: 'nothing fails inside that no fault explains',
  21: 'when the faults end, everything ends',
  22: 'one seed, one run',
  23: 'a process that stops sends nothing new',
  24: 'an instant command does not wait for a device that is away',
  25: 'ids and the clock never go back, and no id is given twice',
} as const

export type Invariant = keyof typeof invariants
