import { printable } from '@rass/nn';

type Write = NodeJS.WriteStream['write'];

const raw = new WeakMap<NodeJS.WriteStream, Write>();

/** Lines as they may be printed: names of files, keys and classes in them may hold what a terminal would act on. */
export const printableLines = (text: string): string => text.split('\n').map(printable).join('\n');

/** Escapes control characters in all that is written to a stream. */
export function guardStream(stream: NodeJS.WriteStream): void {
  const write = stream.write.bind(stream) as Write;
  raw.set(stream, write);
  stream.write = ((chunk: Parameters<Write>[0], ...rest: []) =>
    write(typeof chunk === 'string' ? printableLines(chunk) : chunk, ...rest)) as Write;
}

/** Writes what moves the cursor: nothing that comes from a file. */
export const writeRaw = (stream: NodeJS.WriteStream, text: string): void => {
  (raw.get(stream) ?? stream.write.bind(stream))(text);
};
