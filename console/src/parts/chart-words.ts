// Words of charts.

import { inBoth } from '../words.ts'

export const chartWords = inBoth(
  {
    numbers: 'Numbers',
    time: 'Time',
    nothing: 'Nothing happened in this time.',
    rest: 'Steps in which nothing happened are left out.',
  },
  { numbers: '数据', time: '时间', nothing: '此时段内没有数据。', rest: '没有数据的时段不列出。' },
)
