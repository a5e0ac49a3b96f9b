// Reads SQLite's write-ahead log as its file format documents it (sqlite.org/fileformat2.html#walformat), to know which transactions a damaged one still holds.
// Not here: damaging it (scenarios.ts).

const HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24
const BIG_ENDIAN_MAGIC = 0x377f0683

export interface Transaction {
  /** where its last frame, the one that commits it, begins and ends in the file */
  readonly from: number
  readonly to: number
}

/** The transactions that a recovery finds: up to the first frame that is cut off, of another generation, or whose checksum is wrong. */
export function transactionsIn(wal: Buffer): Transaction[] {
  if (wal.length < HEADER_BYTES) return []
  const isBig = wal.readUInt32BE(0) === BIG_ENDIAN_MAGIC
  const frameBytes = FRAME_HEADER_BYTES + wal.readUInt32BE(8)
  const salt = wal.subarray(16, 24)
  let sum = checksum(wal.subarray(0, 24), [0, 0], isBig)
  if (!isAt(wal, 24, sum)) return []
  const found: Transaction[] = []
  for (let from = HEADER_BYTES; from + frameBytes <= wal.length; from += frameBytes) {
    if (!wal.subarray(from + 8, from + 16).equals(salt)) break
    sum = checksum(wal.subarray(from, from + 8), sum, isBig)
    sum = checksum(wal.subarray(from + FRAME_HEADER_BYTES, from + frameBytes), sum, isBig)
    if (!isAt(wal, from + 16, sum)) break
    // The size of the database after the commit; 0 in frames that are not the last of their transaction.
    if (wal.readUInt32BE(from + 4) > 0) found.push({ from, to: from + frameBytes })
  }
  return found
}

type Sum = readonly [number, number]

const isAt = (wal: Buffer, at: number, [left, right]: Sum): boolean =>
  wal.readUInt32BE(at) === left && wal.readUInt32BE(at + 4) === right

function checksum(bytes: Buffer, start: Sum, isBig: boolean): Sum {
  let [left, right] = start
  for (let at = 0; at < bytes.length; at += 8) {
    left = (left + (isBig ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at)) + right) >>> 0
    right = (right + (isBig ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4)) + left) >>> 0
  }
  return [left, right]
}
