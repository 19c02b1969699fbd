import type { SentError } from './messages.ts';

/** What fails in the worker, in the page. */
export class RuntimeError extends Error {
  /** The broken rule, for programs: of the weights' errors theirs, else the error's name. */
  readonly rule: string;

  constructor(rule: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'RuntimeError';
    this.rule = rule;
  }
}

/** What import() says of a script that cannot be had: in Chromium, Firefox and Safari. */
const NO_SCRIPT = /dynamically imported module|importing a module script failed/i;

export function sentError(error: unknown): SentError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) };
  const { name, message } = error;
  if (name === 'TypeError' && NO_SCRIPT.test(message)) {
    return {
      name,
      rule: 'PartMissing',
      message: `runtime: its parts are loaded as they are needed; got "${message}"; serve all files beside the worker's as long as pages are open`,
    };
  }
  return 'rule' in error && typeof error.rule === 'string' ? { name, message, rule: error.rule } : { name, message };
}

export const receivedError = ({ name, message, rule = name }: SentError): RuntimeError =>
  new RuntimeError(rule, message);
