import { appendFileSync, closeSync, fstatSync, ftruncateSync, openSync } from 'node:fs';

/** A file that only grows, by whole records. */
export interface LogFile {
  /** Writes a record; it is with the system when this returns, so that a kill loses nothing. @throws when it cannot be
   * written; then the file is as it was */
  append(record: string | Uint8Array): void;
  close(): void;
}

/** Opens a file for more records; made where it is missing. */
export function openLogFile(path: string): LogFile {
  const file = openSync(path, 'a');
  return {
    append(record) {
      const { size } = fstatSync(file);
      try {
        appendFileSync(file, record);
      } catch (error) {
        // Half a record would spoil the next one.
        ftruncateSync(file, size);
        throw new Error(
          `log: ${path}: its disk takes what is written; got "${(error as Error).message}"; free some space`,
          {
            cause: error,
          },
        );
      }
    },
    close: () => closeSync(file),
  };
}
