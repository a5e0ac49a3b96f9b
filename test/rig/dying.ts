// A process that dies at a chosen moment, for tests of what the next one finds; and a store of which some methods are the test's.

import type { Store } from '../../src/store/store.ts'

/** The store of a process that dies when the n-th call of one kind has done its work: nobody hears of it, and nothing comes after it. */
export function dyingAfter(store: Store, name: keyof Store, nth: number): { store: Store; isDead: () => boolean } {
  let calls = 0
  let dead = false
  const proxy = new Proxy(store, {
    get: (target, property) => {
      const value: unknown = Reflect.get(target, property)
      if (typeof value !== 'function') return value
      return (...of: unknown[]) => {
        if (dead) return new Promise(() => undefined)
        if (property === name) calls += 1
        if (property !== name || calls !== nth) return value.apply(target, of)
        dead = true
        return Promise.resolve(value.apply(target, of)).then(() => new Promise(() => undefined))
      }
    },
  })
  return { store: proxy, isDead: () => dead }
}

/** This store but for some of its methods, which may use it. */
export const replacing = (store: Store, methods: Partial<Store>): Store =>
  new Proxy(store, {
    get: (target, property) => {
      const own: unknown = Reflect.get(methods, property)
      const value: unknown = own ?? Reflect.get(target, property)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
