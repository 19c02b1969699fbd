/** Whether this runs in Node; Electron's pages, which have both, count as Node where `process` is Node's. */
export function isNode(): boolean {
  return typeof process !== 'undefined' && typeof process.versions?.node === 'string';
}

/** Whether an import failed because the package (and not one of its own parts) is not installed. */
export function isMissingPackage(error: unknown, name: string): boolean {
  const code = (error as { code?: string } | null)?.code;
  const message = error instanceof Error ? error.message : String(error);
  return (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && message.includes(name);
}
