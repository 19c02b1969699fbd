import { readFile, stat } from 'node:fs/promises';

/** The text of a regular file: a pipe would wait for a writer. @throws with its path when it is none */
export async function readTextFile(path: string, what: string): Promise<string> {
  const entry = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
    throw new Error(`${path}: ${what} is a file; got nothing; check the path`);
  });
  if (entry.isFile()) return readFile(path, 'utf8');
  throw new Error(
    `${path}: ${what} is a file; got ${entry.isDirectory() ? 'a folder' : 'a pipe or a device'}; check the path`,
  );
}

/** Where a JSON text breaks off or is wrong, as V8 says it: line and column. */
function placeIn(text: string, message: string): string {
  const at = /at position (\d+)/.exec(message)?.[1];
  if (at === undefined && !isCut(message)) return '';
  const before = text.slice(0, at === undefined ? text.length : Number(at)).split('\n');
  return `:${before.length}:${before.at(-1)!.length + 1}`;
}

const isCut = (message: string): boolean => /end of JSON/.test(message);

/** What a JSON file says. @throws with its path, line and column when it cannot be parsed */
export async function readJson(path: string, what: string): Promise<unknown> {
  const text = await readTextFile(path, what);
  try {
    return JSON.parse(text);
  } catch (error) {
    const { message } = error as SyntaxError;
    const got = isCut(message) ? 'one that breaks off' : message.replace(/ in JSON at position.*$/s, '');
    throw new Error(`${path}${placeIn(text, message)}: ${what} is whole JSON; got ${got}; mend it, or write it anew`, {
      cause: error,
    });
  }
}
