// A fault of one place in one file, and how a source becomes faulty. Which faults there are is mutant-list.ts; how they are tried is mutants.ts.

/** One fault: `find`, which is in `file` exactly once, becomes `replace`. */
export interface Mutant {
  readonly name: string
  /** below the project's folder */
  readonly file: string
  readonly find: string
  readonly replace: string
  /** what somebody would suffer */
  readonly breaks: string
  /** the store that it is tried on; the memory one where it makes no difference */
  readonly store: 'memory' | 'sqlite'
  /** nodes that share it: one, unless the fault is in what several have between them */
  readonly nodes: number
}

/** Faults of one file, in the order of the file. */
export function of(
  file: string,
  faults: readonly Omit<Mutant, 'file' | 'store' | 'nodes'>[],
  store: Mutant['store'] = 'memory',
  nodes = 1,
): Mutant[] {
  return faults.map(fault => ({ ...fault, file, store, nodes }))
}

/** The source with the fault in it. Throws where the fault does not fit the source any more, and says what to do. */
export function mutate(
  source: string,
  { name, file, find, replace }: Pick<Mutant, 'name' | 'file' | 'find' | 'replace'>,
): string {
  const parts = source.split(find)
  if (parts.length !== 2)
    throw new Error(
      `mutant ${name}: its text is ${parts.length - 1} times in ${file}, and must be there once; adapt "find" to the source: ${find}`,
    )
  return parts.join(replace)
}
