/** What every failure of this package is. `rule` names the broken rule for programs; the message says it for people:
 * where, the rule, what was found, the remedy. */
export class WeightsError extends Error {
  readonly rule: string;

  constructor(rule: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'WeightsError';
    this.rule = rule;
  }
}

/** Throws the signal's reason when the caller has given up. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  signal?.throwIfAborted();
}
