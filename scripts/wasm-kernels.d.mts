/** The file in the sources and what is in it, for each module of packages/*/wasm. */
export function compileAll(): Promise<{ path: string; source: string }[]>;
