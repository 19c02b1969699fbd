import { clamp, mix, smoothStep } from '../maths/arithmetic.ts';
import { noise, octaves } from '../maths/noise.ts';
import { clearSky, type Weather } from './atmosphere.ts';

/** Form of a sky's clouds. */
export interface CloudForm {
  /** Heaps per unit of slope. */
  readonly size: number;
  /** How far wind draws them out, from 0 to 1. */
  readonly drawn: number;
  /** From 0, sharp heaps, to 1, veils. */
  readonly soft: number;
}

/** The sky with clouds in a direction of length 1; a pixel is `angle` radians wide. Writes red, green and blue. */
export function cloudySky(
  weather: Weather,
  form: CloudForm,
  x: number,
  y: number,
  z: number,
  angle: number,
  out: Float64Array,
) {
  clearSky(weather, x, y, z, out);
  if (y <= 0.002 || weather.cover <= -0.95) return;
  // A ceiling of clouds that bends down far away, so that heaps crowd at the horizon.
  const slope = 1 / (y + 0.09);
  const cx = x * slope * form.size * (1 - 0.6 * form.drawn) + weather.seed;
  const cz = z * slope * form.size;
  const footprint = angle * slope * slope * form.size * 0.6;
  const thick = density(weather, form, cx, cz, footprint);
  if (thick <= 0) return;
  const [sx, sz] = [weather.sun[0] * 0.22, weather.sun[2] * 0.22];
  const towards = density(weather, form, cx + sx, cz + sz, Math.max(footprint, 0.03));
  // What is thicker towards the sun is in its own shade; thin rims let the light through.
  const lit = clamp(0.62 + 1.1 * (thick - towards) - 0.42 * thick, 0, 1);
  const cover = smoothStep(0, 0.25 + 0.75 * form.soft, thick) * smoothStep(0, 0.05, y);
  const distant = smoothStep(0.22, 0.02, y) * 0.6;
  for (let i = 0; i < 3; i++) {
    const cloud = mix(weather.cloudShade[i], weather.cloudLight[i], lit);
    out[i] = mix(out[i], mix(cloud, weather.horizon[i], distant), cover * 0.96);
  }
}

function density(weather: Weather, form: CloudForm, x: number, z: number, footprint: number): number {
  const bend = 0.35 * noise(x * 0.7 + 91, z * 0.7);
  const heaps = octaves(x + bend, z - bend, 6, footprint, 0.54);
  return heaps * 0.9 + weather.cover + 0.12 * form.soft * noise(x * 0.3, z * 0.3 + 40);
}
