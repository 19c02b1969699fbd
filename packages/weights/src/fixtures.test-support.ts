import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Checkpoint } from './checkpoint.ts';
import { bytesOf } from './dtype/dtype.ts';
import { openSafetensors } from './safetensors/read.ts';
import { type ByteSource, bufferSource } from './source/byte-source.ts';

/** The repository's test-fixtures folder. */
export const fixtureFolder = join(dirname(fileURLToPath(import.meta.url)), '../../../test-fixtures');

export const fixturePath = (...steps: string[]): string => join(fixtureFolder, ...steps);

/** The names of a folder's files. */
export const fixtureNames = (...steps: string[]): string[] => readdirSync(fixturePath(...steps)).sort();

export function fixtureBytes(...steps: string[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(fixturePath(...steps)));
}

export function fixtureSource(...steps: string[]): ByteSource {
  return bufferSource(fixtureBytes(...steps), steps.at(-1));
}

export const openFixture = (...steps: string[]): Promise<Checkpoint> => openSafetensors(fixtureSource(...steps));

/** Every tensor of a checkpoint as text that two files can be compared by: its type, shape and bytes. */
export async function contentsOf(checkpoint: Checkpoint): Promise<Record<string, string>> {
  const contents: Record<string, string> = {};
  for (const key of checkpoint.keys().sort()) {
    const { dtype, shape, data } = await checkpoint.read(key);
    contents[key] = `${dtype} [${shape.join(', ')}] ${Buffer.from(bytesOf(data)).toString('hex')}`;
  }
  return contents;
}
