// Which known word a misspelt one most likely means, for messages that help. Pure.

/** Characters of a stranger's word that are compared: the work grows with both lengths, and no known word is longer. */
const COMPARED_CHARS = 64

/** The candidate with the fewest letters to add, drop or change, case aside; null where none comes near. */
export function nearest(word: string, candidates: readonly string[]): string | null {
  const ranked = candidates
    .map(candidate => ({ candidate, far: distance(word.slice(0, COMPARED_CHARS), candidate) }))
    .sort((a, b) => a.far - b.far)
  const [best] = ranked
  return best && best.far <= Math.ceil(best.candidate.length / 3) ? best.candidate : null
}

function distance(left: string, right: string): number {
  const [a, b] = [left.toLowerCase(), right.toLowerCase()]
  let row = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let i = 0; i < a.length; i += 1) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j += 1) {
      const change = (row[j] ?? 0) + (a[i] === b[j] ? 0 : 1)
      next.push(Math.min(change, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
