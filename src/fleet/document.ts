// A fleet file's text as a tree that knows where everything stands, so that each problem can name its line. YAML 1.2, and JSON, which is a part of it.
// It refuses what YAML reads in surprising ways, and bounds what a small text can unfold to. Not here: what a fleet file must say (file.ts).

import {
  Composer,
  type Document,
  type ErrorCode,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  Parser,
  type Scalar,
  type YAMLError,
  type YAMLMap,
} from 'yaml'
import { escapeInvisible, pathTo } from '../core/json.ts'
import {
  FLEET_FILE_MAX_ALIASED,
  FLEET_FILE_MAX_BYTES,
  FLEET_FILE_MAX_DEPTH,
  FLEET_FILE_MAX_TOKENS,
  FLEET_PROBLEMS_MAX,
  QUOTE_PATH_MAX_CHARS,
} from '../core/limits.ts'

/** What is wrong, and where. Lines and columns count from 1; path is such as `organizations[0].devices[2].deviceKey`, '' for the whole file. */
export interface Problem {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly path: string
  readonly message: string
}

interface Position {
  readonly parent: MapPlace | ListPlace | null
  /** its key in a map or index in a list; '' at the root */
  readonly segment: string | number
  /** offset of the value in the text, and of the key that names it (the value's own where nothing does) */
  readonly at: number
  readonly keyAt: number
}
export interface ScalarPlace extends Position {
  readonly kind: 'scalar'
  readonly value: string | number | boolean | null
  /** as it stands in the file */
  readonly source: string
}
export interface MapPlace extends Position {
  readonly kind: 'map'
  readonly entries: Map<string, Place>
}
export interface ListPlace extends Position {
  readonly kind: 'list'
  readonly items: Place[]
}
export type Place = ScalarPlace | MapPlace | ListPlace

/** `organizations[0].devices[2].deviceKey`; '' for the root */
export const pathOf = (place: Place): string =>
  place.parent === null ? '' : pathTo(pathOf(place.parent), place.segment)

/** The problems of one file in the order found, the first {@link FLEET_PROBLEMS_MAX} of them. Messages never quote a secret. */
export class Problems {
  readonly list: Problem[] = []

  constructor(
    readonly file: string,
    private readonly lines: LineCounter,
  ) {}

  at(offset: number, path: string, message: string): void {
    if (this.list.length >= FLEET_PROBLEMS_MAX) return
    const { line, col } = this.lines.linePos(offset)
    this.list.push({ file: this.file, line: Math.max(line, 1), column: Math.max(col, 1), path, message })
  }

  /** About a value. */
  value(place: Place, message: string): void {
    this.at(place.at, pathOf(place), message)
  }

  /** About the key that names it, rather than its value. */
  key(place: Place, message: string): void {
    this.at(place.keyAt, pathOf(place), message)
  }

  lineOf(place: Place): number {
    return this.lines.linePos(place.at).line
  }
}

/** The text unfolds to more than it may. */
class TooMuch extends Error {
  constructor(
    readonly offset: number,
    message: string,
  ) {
    super(message)
  }
}

/**
 * The composer and every reader after it recurse, and node cannot recover from every overflow of its stack, so depth is refused before
 * there is a tree. Tokens are counted here too, because each costs memory however little text it takes.
 */
class BoundedParser extends Parser {
  #tokens = 0

  constructor(
    lines: LineCounter,
    private readonly maxTokens: number,
  ) {
    super(lines.addNewLine)
  }

  override *next(source: string) {
    yield* super.next(source)
    this.#tokens += 1
    if (this.#tokens > this.maxTokens) {
      throw new TooMuch(this.offset, `has more than ${this.maxTokens} tokens; split it into several files`)
    }
    if (this.stack.length > FLEET_FILE_MAX_DEPTH) {
      throw new TooMuch(this.offset, `is nested deeper than ${FLEET_FILE_MAX_DEPTH} levels here`)
    }
  }
}

/** The parser's own words for these quote the text, which may be a secret, or speak to programmers. */
const wording: Partial<Record<ErrorCode, string>> = {
  TAG_RESOLVE_FAILED: 'tags are not used here; put a value that begins with "!" in quotes',
  BAD_DQ_ESCAPE: 'this escape is none of YAML; double the backslash, or use single quotes',
  BAD_SCALAR_START: 'a value cannot start with this character unless it is in quotes',
  MULTIPLE_DOCS: 'a fleet file is one document; remove the "---" here and what follows, or make it a file of its own',
  RESOURCE_EXHAUSTION: 'this is nested too deeply',
}
const wordingOf = (error: YAMLError): string =>
  wording[error.code] ?? escapeInvisible((error.message.split(': ', 1)[0] ?? error.code).slice(0, QUOTE_PATH_MAX_CHARS))

/** Turns the parser's nodes into places, and aliases into what they stand for. */
class Builder {
  readonly #problems: Problems
  readonly #anchors = new Map<string, ParsedNode>()
  /** values made from aliases so far, and how many aliases the present one is inside of */
  #aliased = 0
  #aliases = 0

  constructor(problems: Problems) {
    this.#problems = problems
  }

  place(node: ParsedNode, position: Position, depth: number): Place {
    if (this.#aliases > 0) this.#aliased += 1
    if (this.#aliased > FLEET_FILE_MAX_ALIASED) {
      throw new TooMuch(
        position.at,
        `has aliases that stand for more than ${FLEET_FILE_MAX_ALIASED} values; write them out`,
      )
    }
    if (depth > FLEET_FILE_MAX_DEPTH)
      throw new TooMuch(position.at, `is nested deeper than ${FLEET_FILE_MAX_DEPTH} levels here`)
    if (isAlias(node)) return this.#alias(node.source, position, depth)
    if (node.tag !== undefined) this.#problems.at(node.range[0], this.#path(position), wording.TAG_RESOLVE_FAILED ?? '')
    const place = isMap(node)
      ? this.#map(node, position, depth)
      : isSeq(node)
        ? this.#list(node.items, position, depth)
        : this.#scalar(node, position)
    // Only now: an alias inside its own anchor would never end. Not from within an alias, where later anchors would be set back.
    if (node.anchor !== undefined && this.#aliases === 0) this.#anchors.set(node.anchor, node)
    return place
  }

  #path(position: Position): string {
    return pathOf({ ...position, kind: 'scalar', value: null, source: '' })
  }

  #alias(name: string, position: Position, depth: number): Place {
    const node = this.#anchors.get(name)
    if (node === undefined) {
      this.#problems.at(
        position.at,
        this.#path(position),
        'this alias names no anchor above it; put a value that begins with "*" in quotes',
      )
      return { ...position, kind: 'scalar', value: null, source: '' }
    }
    this.#aliases += 1
    const place = this.place(node, { ...position, at: node.range[0] }, depth + 1)
    this.#aliases -= 1
    return place
  }

  #map(node: YAMLMap.Parsed, position: Position, depth: number): MapPlace {
    const place: MapPlace = { ...position, kind: 'map', entries: new Map() }
    for (const { key, value } of node.items) {
      const keyAt = key.range[0]
      const name = this.#keyName(key, place)
      if (name === null) continue
      if (place.entries.has(name)) {
        this.#problems.at(keyAt, pathOf({ ...place, parent: place, segment: name }), 'this key is here twice')
        continue
      }
      const below: Position = { parent: place, segment: name, at: value === null ? keyAt : value.range[0], keyAt }
      const entry: Place =
        value === null ? { ...below, kind: 'scalar', value: null, source: '' } : this.place(value, below, depth + 1)
      place.entries.set(name, entry)
    }
    return place
  }

  /** A key is text. A number or boolean is taken by what it says if it says it plainly, as in `enumDesc: {1: …}`. */
  #keyName(key: ParsedNode, map: MapPlace): string | null {
    const path = pathOf(map)
    const at = key.range[0]
    if (!isScalar(key)) {
      this.#problems.at(at, path, 'a key must be a text')
    } else if (key.value === null) {
      this.#problems.at(at, path, 'a key is empty here; a key that reads null must be in quotes')
    } else if (typeof key.value !== 'string' && String(key.value) !== key.source) {
      this.#problems.at(at, path, 'this key reads as a number or another word than it shows; put it in quotes')
    } else if (key.value === '__proto__') {
      this.#problems.at(at, path, 'no key can have this name')
    } else {
      return String(key.value)
    }
    return null
  }

  #list(items: readonly ParsedNode[], position: Position, depth: number): ListPlace {
    const place: ListPlace = { ...position, kind: 'list', items: [] }
    for (const [index, item] of items.entries()) {
      const at = item.range[0]
      place.items.push(this.place(item, { parent: place, segment: index, at, keyAt: at }, depth + 1))
    }
    return place
  }

  #scalar(node: Scalar.Parsed, position: Position): ScalarPlace {
    const { value } = node
    const source = node.source ?? ''
    const kept = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null
    if (
      typeof kept === 'number' &&
      (!Number.isFinite(kept) || (Number.isInteger(kept) && !Number.isSafeInteger(kept)))
    ) {
      this.#problems.at(
        position.at,
        this.#path(position),
        'this number cannot be kept exactly; put it in quotes if it is a text',
      )
    }
    return { ...position, kind: 'scalar', value: kept, source }
  }
}

function compose(text: string, lines: LineCounter, maxTokens: number): Document.Parsed[] {
  // Keys are compared by the builder: as the texts they become, and without comparing each with every other.
  const composer = new Composer({ lineCounter: lines, version: '1.2', schema: 'core', merge: false, uniqueKeys: false })
  const parser = new BoundedParser(lines, maxTokens)
  const documents: Document.Parsed[] = []
  for (const document of composer.compose(parser.parse(text), true, text.length)) {
    documents.push(document as Document.Parsed)
    if (documents.length > 1) break
  }
  return documents
}

function build(text: string, lines: LineCounter, problems: Problems, maxTokens: number): Place | null {
  const [document, second] = compose(text, lines, maxTokens)
  for (const error of [...(document?.errors ?? []), ...(document?.warnings ?? [])]) {
    problems.at(error.pos[0], '', wordingOf(error))
  }
  if (second !== undefined) problems.at(second.range[0], '', wording.MULTIPLE_DOCS ?? '')
  if (document?.directives?.yaml.version !== '1.2')
    problems.at(0, '', 'a fleet file is YAML 1.2; remove the %YAML directive')
  if (problems.list.length > 0 || document === undefined) return null
  const root = document.contents
  if (root === null || (isScalar(root) && root.value === null)) {
    problems.at(0, '', 'the file is empty; it must hold organizations')
    return null
  }
  const at = root.range[0]
  const place = new Builder(problems).place(root, { parent: null, segment: '', at, keyAt: at }, 0)
  return problems.list.length === 0 ? place : null
}

/**
 * Reads the text of a fleet file. `root` is null where the text itself has problems; what it should say is not looked at then. With a
 * root there are none yet, and `problems` collects what its reader finds.
 */
export function readDocument(
  text: string,
  file: string,
  maxTokens = FLEET_FILE_MAX_TOKENS,
): { readonly root: Place | null; readonly problems: Problems } {
  const lines = new LineCounter()
  const problems = new Problems(file, lines)
  if (Buffer.byteLength(text) > FLEET_FILE_MAX_BYTES) {
    problems.at(
      0,
      '',
      `the file is larger than ${FLEET_FILE_MAX_BYTES} bytes; split it into several, which are applied one after the other`,
    )
    return { root: null, problems }
  }
  try {
    return { root: build(text, lines, problems, maxTokens), problems }
  } catch (error) {
    if (!(error instanceof TooMuch)) throw error
    problems.at(error.offset, '', `the file ${error.message}`)
    return { root: null, problems }
  }
}

/** What the place holds, as JSON.parse would give it. */
export function plain(place: Place): unknown {
  if (place.kind === 'scalar') return place.value
  if (place.kind === 'list') return place.items.map(plain)
  return Object.fromEntries([...place.entries].map(([key, entry]) => [key, plain(entry)]))
}

/**
 * The place below `from` that a path such as `measurepoints.Int_value.dataType` or `inputData[0]` names, or the nearest one above it
 * that exists. Keys may hold dots: the longest key that fits is taken.
 */
export function locate(from: Place, path: string): Place {
  if (path === '') return from
  if (from.kind === 'list') {
    const index = /^\[?(\d+)\]?\.?/.exec(path)
    const item = index === null ? undefined : from.items[Number(index[1])]
    return item === undefined || index === null ? from : locate(item, path.slice(index[0].length))
  }
  if (from.kind === 'map') {
    const fits = [...from.entries]
      .map(([key, entry]) => ({ written: pathTo('', key), entry }))
      .filter(({ written }) => path === written || path.startsWith(`${written}.`) || path.startsWith(`${written}[`))
      .sort((left, right) => right.written.length - left.written.length)[0]
    if (fits !== undefined) return locate(fits.entry, path.slice(fits.written.length).replace(/^\./, ''))
  }
  return from
}
