// Words of the way in.

import { inBoth } from '../words.ts'

export const words = inBoth(
  {
    title: 'Sign in',
    lead: 'See every queue, stop any command.',
    ended: 'Your session is over: the server takes these credentials no more. Sign in again.',
    as: 'Sign in with',
    operator: 'Operator token',
    application: 'Application key',
    token: 'Operator token',
    tokenHint: 'An administrator makes one for you:',
    tokenKept: 'It is kept for this tab, until you sign out or close it.',
    appKey: 'appKey',
    appSecret: 'appSecret',
    secretKept: 'It never leaves this page: calls are signed here. When the page is closed or reloaded, it is gone.',
    insecure:
      'This page did not come over https, so the browser cannot sign calls here. Use an operator token, or https.',
    go: 'Sign in',
    going: 'Signing in …',
    required: 'is needed',
  },
  {
    title: '登录',
    lead: '查看每个队列，停止任何指令。',
    ended: '会话已结束：服务器不再接受这些凭据，请重新登录。',
    as: '登录方式',
    operator: '操作员令牌',
    application: '应用密钥',
    token: '操作员令牌',
    tokenHint: '由管理员为您创建：',
    tokenKept: '令牌只保存在此标签页中，退出或关闭后即清除。',
    appKey: 'appKey',
    appSecret: 'appSecret',
    secretKept: '密钥不会离开此页面：请求在本地签名。关闭或刷新页面后即清除。',
    insecure: '此页面不是通过 https 打开的，浏览器无法在此签名。请使用操作员令牌或 https。',
    go: '登录',
    going: '正在登录……',
    required: '为必填项',
  },
)
