// Words of what happened: for the reasons that events carry. One that is not here is shown as it came.

import { inBoth } from '../words.ts'

type Reasons = Readonly<Record<string, string>>

export const eventWords = inBoth<{ readonly command: Reasons; readonly device: Reasons }>(
  {
    /** of a command */
    command: {
      accepted: 'taken into the queue',
      inactive: 'refused: the device has never connected',
      offline: 'the device was offline',
      queueFull: 'refused: the queue was full',
      sent: 'handed to the device',
      reply: 'the device answered',
      'late reply': 'answered after the end',
      timeout: 'its time was over',
      pendingTtl: 'it had waited as long as it may',
      cancel: 'cancelled',
      'device deleted': 'the device was deleted',
      'unsent: sessionGone': 'not sent after all: the connection was gone',
      'unsent: late': 'not sent after all: its time was over',
      'unsent: fenced': 'not sent after all: the device had connected anew',
      'unsent: tooLarge': 'not sent: larger than the device takes',
      'unsent: codec': 'not sent: the codec of its product failed',
      'unsent: unsupported': 'not sent: the device takes no such commands',
    },
    /** of the device itself */
    device: {
      connected: 'connected',
      disconnected: 'disconnected',
      activated: 'activated',
      disabled: 'disabled',
      enabled: 'enabled',
      deleted: 'deleted',
    },
  },
  {
    command: {
      accepted: '已进入队列',
      inactive: '被拒绝：设备从未上线',
      offline: '设备离线',
      queueFull: '被拒绝：队列已满',
      sent: '已交给设备',
      reply: '设备已响应',
      'late reply': '结束之后才响应',
      timeout: '已超时',
      pendingTtl: '已达到最长等待时间',
      cancel: '已取消',
      'device deleted': '设备已被删除',
      'unsent: sessionGone': '实际未发出：连接已断开',
      'unsent: late': '实际未发出：已超时',
      'unsent: fenced': '实际未发出：设备已重新连接',
      'unsent: tooLarge': '未发出：超过设备可接收的大小',
      'unsent: codec': '未发出：产品的编解码器出错',
      'unsent: unsupported': '未发出：设备不支持此类指令',
    },
    device: {
      connected: '已连接',
      disconnected: '已断开',
      activated: '已激活',
      disabled: '已禁用',
      enabled: '已启用',
      deleted: '已删除',
    },
  },
)
