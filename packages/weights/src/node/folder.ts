import { join, resolve } from 'node:path';
import { WeightsError } from '../error.ts';
import type { ByteFolder } from '../source/folder.ts';
import { checkInside } from '../source/folder.ts';
import { fileSource } from './file-source.ts';

const isMissing = (error: unknown): boolean => {
  const cause = error instanceof WeightsError ? error.cause : undefined;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return code === 'ENOENT' || code === 'ENOTDIR';
};

/** A folder on disk. */
export function fileFolder(path: string): ByteFolder {
  const root = resolve(path);
  return {
    name: path,
    async open(file) {
      try {
        return await fileSource(join(root, checkInside(file)));
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    },
  };
}
