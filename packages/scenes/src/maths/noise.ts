import { cosine, sine, TURN } from './arithmetic.ts';
import { createRandom } from './random.ts';

const CELLS = 256;
const DIRECTIONS = 32;

const PERMUTATION = shuffledTwice();
const [ACROSS, ALONG] = gradients();

function shuffledTwice(): Uint8Array {
  const random = createRandom(20, 'noise');
  const order = Uint8Array.from({ length: CELLS }, (_, i) => i);
  for (let i = CELLS - 1; i > 0; i--) {
    const j = random.whole(0, i);
    [order[i], order[j]] = [order[j], order[i]];
  }
  const twice = new Uint8Array(2 * CELLS + 1);
  twice.set(order);
  twice.set(order, CELLS);
  twice[2 * CELLS] = order[0];
  return twice;
}

function gradients(): [Float64Array, Float64Array] {
  // Each number of the permutation stands for one of a few directions, so that no look-up needs a mask.
  const angles = Array.from({ length: CELLS }, (_, i) => (TURN * ((i % DIRECTIONS) + 0.5)) / DIRECTIONS);
  return [Float64Array.from(angles, cosine), Float64Array.from(angles, sine)];
}

/** Perlin's gradient noise of the plane: about -1 to 1, 0 in the mean, one wave per unit; it repeats after 256 units. */
export function noise(x: number, y: number): number {
  const cellX = Math.floor(x);
  const cellY = Math.floor(y);
  const fx = x - cellX;
  const fy = y - cellY;
  const left = PERMUTATION[cellX & 255] + (cellY & 255);
  const right = PERMUTATION[(cellX + 1) & 255] + (cellY & 255);
  const a = PERMUTATION[left];
  const b = PERMUTATION[right];
  const c = PERMUTATION[left + 1];
  const d = PERMUTATION[right + 1];
  const u = fx * fx * fx * (fx * (fx * 6 - 15) + 10);
  const v = fy * fy * fy * (fy * (fy * 6 - 15) + 10);
  const top = ACROSS[a] * fx + ALONG[a] * fy;
  const topNext = ACROSS[b] * (fx - 1) + ALONG[b] * fy;
  const bottom = ACROSS[c] * fx + ALONG[c] * (fy - 1);
  const bottomNext = ACROSS[d] * (fx - 1) + ALONG[d] * (fy - 1);
  const first = top + u * (topNext - top);
  return 1.5 * (first + v * (bottom + u * (bottomNext - bottom) - first));
}

/** Octaves of noise, each of half the wave length and `gain` times the height of the last. Waves that a pixel's footprint
 * (in the units of x and y) cannot show are left out, so that a larger picture has finer detail of the same texture. */
export function octaves(x: number, y: number, count: number, footprint: number, gain = 0.5): number {
  let sum = 0;
  let height = 1;
  let frequency = 1;
  for (let i = 0; i < count; i++) {
    const visible = 2 - 2 * footprint * frequency;
    if (visible <= 0) break;
    sum += (visible < 1 ? visible * height : height) * noise(x * frequency + 17.3 * i, y * frequency + 9.1 * i);
    height *= gain;
    frequency *= 2.03;
  }
  return sum;
}

/** Octaves of sharp crests, from 0 to about 1: mountains, creases, cracks. */
export function ridges(x: number, y: number, count: number, footprint: number, gain = 0.5): number {
  let sum = 0;
  let height = 1;
  let frequency = 1;
  let total = 0;
  for (let i = 0; i < count; i++) {
    total += height;
    if (footprint * frequency > 0.7) sum += height * 0.6;
    else {
      const wave = 1 - Math.abs(noise(x * frequency + 31.7 * i, y * frequency + 11.9 * i));
      sum += height * wave * wave;
    }
    height *= gain;
    frequency *= 2.03;
  }
  return sum / total;
}
