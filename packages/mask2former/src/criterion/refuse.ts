/** The criterion's errors. */
export function refuse(rule: string, got: unknown, remedy: string): never {
  throw new Error(`mask2Former criterion: ${rule}; got ${got}; ${remedy}`);
}
