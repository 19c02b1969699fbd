import type { CallName, SentError } from './messages.ts';
import { isRule, type RuntimeRule } from './rules.ts';

/** Whatever fails of a runtime, but for what an abort's signal says. */
export class RuntimeError extends Error {
  /** What is wrong, for programs; the README lists them. */
  readonly rule: RuntimeRule;

  constructor(rule: RuntimeRule, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'RuntimeError';
    this.rule = rule;
  }
}

/** What import() says of a script that cannot be had: in Chromium, Firefox and Safari. */
const NO_SCRIPT = /dynamically imported module|importing a module script failed/i;
/** What browsers and TensorFlow.js say where memory is used up. */
const NO_MEMORY = /out of memory|allocation failed|invalid array (buffer )?length|4 GiB/i;

/** Of the codes of BackendError and DeviceError. */
const BY_CODE: Readonly<Record<string, RuntimeRule>> = {
  'load-failed': 'WasmFiles',
  blocked: 'WasmPolicy',
  'no-device': 'NoDevice',
  unsupported: 'NoDevice',
  'unknown-name': 'BadOption',
  lost: 'DeviceLost',
  limit: 'OutOfMemory',
  'out-of-memory': 'OutOfMemory',
  failed: 'DeviceFailed',
};

/** The rule of what was thrown while a call was answered. */
function ruleOf(error: Error, call: CallName | undefined): RuntimeRule {
  const { rule, code } = error as { rule?: unknown; code?: unknown };
  if (isRule(rule)) return rule;
  if (typeof code === 'string' && Object.hasOwn(BY_CODE, code)) return BY_CODE[code]!;
  if (NO_MEMORY.test(error.message)) return 'OutOfMemory';
  // Faults of programs, and what has no name of its own among the files' errors.
  if (error instanceof TypeError || error instanceof ReferenceError) return 'Failed';
  if (call === 'open') return 'BadModel';
  return error.name === 'Error' ? 'BadOption' : 'Failed';
}

/** An error as it can be sent. `call`: what was being answered. */
export function sentError(error: unknown, call?: CallName): SentError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), rule: 'Failed' };
  const { name, message } = error;
  if (name === 'TypeError' && NO_SCRIPT.test(message)) {
    return {
      name,
      rule: 'PartMissing',
      message: `runtime: its parts are loaded as they are needed; got "${message}"; serve all files beside the worker's as long as pages are open`,
    };
  }
  return { name, message, rule: ruleOf(error, call) };
}

/** An error that was sent; of a worker of another version its rule may be unknown. */
export const receivedError = ({ message, rule }: SentError): RuntimeError =>
  new RuntimeError(isRule(rule) ? rule : 'Failed', message);
