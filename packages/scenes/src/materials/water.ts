import { clamp } from '../maths/arithmetic.ts';
import { colourOf } from '../maths/colour.ts';
import { octaves } from '../maths/noise.ts';
import type { Random } from '../maths/random.ts';
import { type Material, paint, shadeBy } from '../render/hit.ts';

/** Water that mirrors the picture: from still to choppy. */
export function waterSurface(random: Random): Material {
  const colour = colourOf(random.between(0.3, 0.58), random.between(0.3, 0.7), random.between(0.12, 0.36));
  const calm = random.next();
  const height = 0.012 + 0.1 * calm * calm;
  const wave = random.between(0.4, 1.6);
  const seed = random.between(0, 200);
  return (hit) => {
    const { x, z, footprint } = hit;
    // Gusts leave some of it smooth.
    const gust = clamp(0.7 + 0.9 * octaves(x * 0.02 + seed, z * 0.05, 3, 0), 0.15, 1.5);
    const print = footprint * wave;
    const along = octaves(x * wave * 0.7 + seed, z * wave * 1.6, 5, print, 0.6);
    const across = octaves(x * wave * 0.9 + 70, z * wave * 1.5 + seed, 4, print, 0.6);
    paint(hit, colour);
    shadeBy(hit, 1 + 0.2 * along);
    const nx = height * gust * 0.8 * across;
    const nz = height * gust * along;
    const size = Math.sqrt(1 + nx * nx + nz * nz);
    hit.nx = nx / size;
    hit.ny = 1 / size;
    hit.nz = nz / size;
    hit.gloss = 0.03;
    hit.dullness = 0.12;
    hit.mirror = true;
  };
}
