// Pages as the vendor's searches have them: `{pageNo, pageSize}` in, and what is told of them beside the data.
// Not here: pages of our own routes, which go on from a cursor.

import { invalid, type Refusal } from '../core/errors.ts'

export interface Page {
  readonly pageNo: number
  readonly pageSize: number
  readonly offset: number
}

/**
 * `sorters`, which the vendor has in some places, are ignored: the order is always the same. minSize 0: where the vendor takes a page with nothing on it, for
 * the total alone.
 */
export function readPagination(
  value: unknown,
  defaultSize: number,
  maxSize: number,
  minSize: 0 | 1 = 1,
): Page | Refusal {
  if (value === undefined || value === null) return { pageNo: 1, pageSize: defaultSize, offset: 0 }
  if (typeof value !== 'object' || Array.isArray(value)) return invalid('pagination', 'must be an object')
  const fields = new Map(Object.entries(value))
  const pageNo = fields.get('pageNo') ?? 1
  const pageSize = fields.get('pageSize') ?? defaultSize
  if (!isWhole(pageNo) || pageNo < 1) return invalid('pagination.pageNo', 'must be an integer from 1')
  if (!isWhole(pageSize) || pageSize < minSize || pageSize > maxSize)
    return invalid('pagination.pageSize', `must be an integer from ${minSize} to ${maxSize}`)
  if (pageNo * pageSize > Number.MAX_SAFE_INTEGER) return invalid('pagination.pageNo', 'is too large')
  return { pageNo, pageSize, offset: (pageNo - 1) * pageSize }
}

const isWhole = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value)
