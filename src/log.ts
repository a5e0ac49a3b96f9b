// The logger, as everything here takes it; pino has this face. Not here: what is logged where, and how it is written (cli/serving.ts).

export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}
