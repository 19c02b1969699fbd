/** What a RuntimeError's `rule` can be: what is wrong, for programs. The README says what each means. */
export const RULES = [
  'BadOption',
  'BadImage',
  'Disposed',
  'NotOpened',
  'NoWorker',
  'WorkerFailed',
  'PartMissing',
  'BadMessage',
  'NoDevice',
  'WasmFiles',
  'WasmPolicy',
  'DeviceLost',
  'DeviceFailed',
  'OutOfMemory',
  'Unreachable',
  'Stalled',
  'HttpStatus',
  'RedirectLoop',
  'NotFound',
  'TooLarge',
  'BadRangeAnswer',
  'SourceChanged',
  'BadHash',
  'BadManifest',
  'BadJson',
  'BadModel',
  'NoModelIndex',
  'NoStore',
  'NoCrypto',
  'Failed',
] as const;

/** A RuntimeError's rule. */
export type RuntimeRule = (typeof RULES)[number];

export const isRule = (rule: unknown): rule is RuntimeRule => (RULES as readonly unknown[]).includes(rule);
