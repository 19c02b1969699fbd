/** The file in the sources and what is in it, for each module of the packages' wasm folders. */
export function compileAll(): Promise<{ path: string; source: string }[]>;
