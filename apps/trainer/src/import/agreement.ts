import { type Checkpoint, readFloat32 } from '@rass/weights';

/** Of two tensors of which one was stored in half precision, whose steps are up to 2^-11 of a value. */
const TOLERANCE = 5e-4;
const LISTED = 3;

/** How far a tensor is from another, by the length of the other. */
function distance(a: Float32Array, b: Float32Array): number {
  let [off, length] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    off += (a[i]! - b[i]!) ** 2;
    length += b[i]! ** 2;
  }
  return off === 0 ? 0 : Math.sqrt(off / length);
}

/** What two checkpoints are to each other, for an error. */
export interface Agreement {
  /** The one of which the tensors are. */
  readonly what: string;
  readonly keys: readonly string[];
  readonly rule: string;
  readonly remedy: string;
}

/** That tensors of two checkpoints are the same but for rounding.
 * @throws naming those that differ */
export async function checkSame(
  found: Checkpoint,
  expected: Checkpoint,
  { what, keys, rule, remedy }: Agreement,
): Promise<void> {
  const differing: string[] = [];
  for (const key of keys) {
    const [got, wanted] = [found.info(key).shape, expected.info(key).shape];
    if (got.join() !== wanted.join()) {
      differing.push(`${key} [${got.join(', ')}] for [${wanted.join(', ')}]`);
      continue;
    }
    const off = distance(await readFloat32(found, key), await readFloat32(expected, key));
    if (!(off <= TOLERANCE)) differing.push(`${key} (${(100 * off).toPrecision(2)} % off)`);
  }
  if (differing.length === 0) return;
  const some = `${differing.slice(0, LISTED).join(', ')}${differing.length > LISTED ? ', ...' : ''}`;
  throw new Error(`${found.name}: ${rule}; got ${differing.length} of ${keys.length} tensors of ${what} that differ: ${some}; ${remedy}`); // biome-ignore format: one line
}
