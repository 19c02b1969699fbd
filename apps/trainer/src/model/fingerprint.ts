import { createHash } from 'node:crypto';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Bytes of a piece that is looked at, and how many pieces of a file are. */
const PIECE = 2 ** 16;
const PIECES = 16;

/** A number that changes when a model's weights do: of each file of weights its name, its size and pieces from all over it, since gigabytes
 * would take minutes. */
export async function weightsFingerprint(folder: string): Promise<string> {
  const names = await readdir(folder, { recursive: true });
  const hash = createHash('sha256');
  const piece = new Uint8Array(PIECE);
  for (const name of names.filter((each) => each.endsWith('.safetensors')).sort()) {
    const file = await open(join(folder, name));
    try {
      const { size } = await file.stat();
      hash.update(`${name} ${size} `);
      for (let i = 0; i < PIECES; i++) {
        const { bytesRead } = await file.read(
          piece,
          0,
          PIECE,
          Math.floor((i * Math.max(0, size - PIECE)) / (PIECES - 1)),
        );
        hash.update(piece.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  }
  return hash.digest('hex').slice(0, 16);
}
