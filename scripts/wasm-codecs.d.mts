/** Each file that is made, and what is in it. `archives`: a folder of the libraries' archives. */
export function compileCodecs(archives?: string): Promise<{ readonly path: string; readonly source: string }[]>;
