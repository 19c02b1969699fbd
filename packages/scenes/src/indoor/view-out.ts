import { arcTangent, clamp, mix, smoothStep } from '../maths/arithmetic.ts';
import { octaves } from '../maths/noise.ts';
import type { Random } from '../maths/random.ts';
import type { Vector } from '../maths/vector.ts';
import { type Material, paint } from '../render/hit.ts';
import type { Weather } from '../sky/atmosphere.ts';
import { type CloudForm, cloudySky } from '../sky/clouds.ts';

const seen = new Float64Array(3);

/** Glass, and what is behind it: sky over trees or roofs, over a lawn, as bright as the day. */
export function viewOut(random: Random, eye: Vector, weather: Weather, brightness: number): Material {
  const form: CloudForm = { size: random.between(0.4, 1), drawn: random.next() * 0.6, soft: random.next() };
  const seed = random.between(0, 200);
  const tall = random.between(0.02, 0.3);
  const roofs = random.chance(0.35);
  const near: Vector = roofs ? [0.34, 0.27, 0.22] : [0.07, 0.12, 0.035];
  const ground: Vector = [0.13, 0.19, 0.06];
  return (hit) => {
    const [dx, dy, dz] = [hit.x - eye[0], hit.y - eye[1], hit.z - eye[2]];
    const distance = Math.sqrt(dx * dx + dy * dy + dz * dz);
    const [x, y, z] = [dx / distance, dy / distance, dz / distance];
    const angle = hit.footprint / distance;
    const heading = arcTangent(x, z);
    const form1 = octaves(heading * 4 + seed, 3, roofs ? 1 : 5, angle * 4, 0.6);
    const crest = Math.max(0.01, tall * (1 + 0.6 * (roofs ? Math.round(form1 * 3) / 3 : form1)));
    paint(hit, [0, 0, 0]);
    hit.gloss = 0.02;
    hit.dullness = 0.1;
    if (y > crest) cloudySky(weather, form, x, y, z, angle, seen);
    else {
      const rough = octaves(heading * 40 + seed, y * 40, 5, angle * 40, 0.75);
      const low = smoothStep(-0.02, -0.06, y);
      const light = (0.5 + 0.35 * weather.sunColour[1] * 0.5) * clamp(0.75 + 0.5 * rough + y * 1.2, 0.2, 1.4);
      for (let i = 0; i < 3; i++) {
        const colour = mix(near[i], ground[i], low) * light;
        seen[i] = mix(colour, weather.horizon[i] * 0.8, 0.15);
      }
    }
    hit.glowRed = seen[0] * brightness;
    hit.glowGreen = seen[1] * brightness;
    hit.glowBlue = seen[2] * brightness;
  };
}
