// Faults of the stream of changes: its places, its pages, and what is said of what has been purged. Data only.

import { of } from './mutant.ts'

const memory = of('src/store/memory-changes.ts', [
  {
    name: 'stream-place-given-twice',
    find: 'this.#placed.push({ position: this.#given, ...unplaced })',
    replace: 'this.#placed.push({ position: this.#given - (this.#given % 7 === 0 ? 1 : 0), ...unplaced })',
    breaks: 'whoever reads on after one of two changes never gets the other',
  },
  {
    name: 'stream-passes-over-what-does-not-fit',
    find: 'const last = wanted.length === limit ? wanted.at(-1) : looked.at(-1)',
    replace: 'const last = looked.at(-1)',
    breaks: 'whoever reads in pages misses changes',
  },
  {
    name: 'stream-tells-the-last-one-again',
    find: 'if ((this.#placed[middle]?.position ?? 0) > position) high = middle',
    replace: 'if ((this.#placed[middle]?.position ?? 0) >= position) high = middle',
    breaks: 'every page begins with the last change of the one before',
  },
  {
    name: 'stream-purged-in-silence',
    find: 'this.#lost = Math.max(this.#lost, position)',
    replace: 'this.#lost = Math.max(this.#lost, 0)',
    breaks: 'whoever was away for long does not learn that changes are gone',
  },
])

const ofNodes = of(
  'src/store/memory-changes.ts',
  [
    {
      name: 'nodes-stream-backwards',
      find: 'a.entry.id - b.entry.id || a.event.seq - b.event.seq',
      replace: 'a.entry.id - b.entry.id || b.event.seq - a.event.seq',
      breaks: 'a command is said to be sent after it is said to have succeeded',
    },
    {
      name: 'nodes-stream-forgets-what-waits',
      find: '.splice(0, limit)',
      replace: '.splice(0, limit + 1).slice(0, limit)',
      breaks: 'changes of a node that writes much are told to nobody',
    },
  ],
  'memory',
  3,
)

const sqlite = of(
  'src/store/sqlite-changes.ts',
  [
    {
      name: 'sqlite-stream-begins-anew',
      find: 'if (this.#next > this.#given) this.#sql.give.run(this.#next)',
      replace: '',
      breaks: 'after a restart nothing can be written any more, because its place is taken',
    },
    {
      name: 'sqlite-stream-by-device',
      find: 'order by e.position limit ?3',
      replace: 'order by e.device_id, e.position limit ?3',
      breaks: 'whoever reads in pages misses changes',
    },
    {
      name: 'sqlite-stream-purged-in-silence',
      find: 'if (lost > 0) this.#sql.lose.run(lost)',
      replace: '',
      breaks: 'whoever was away for long does not learn that changes are gone',
    },
  ],
  'sqlite',
)

export const ofChanges = [...memory, ...ofNodes, ...sqlite]
