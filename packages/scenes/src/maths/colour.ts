import { clamp, fraction } from './arithmetic.ts';
import type { Random } from './random.ts';
import type { Vector } from './vector.ts';

/** A linear colour from a hue (0 red, 1/3 green, 2/3 blue), how colourful and how bright it looks, each from 0 to 1. */
export function colourOf(hue: number, saturation: number, value: number): Vector {
  const channel = (shift: number): number => {
    const wave = clamp(Math.abs(fraction(hue + shift) * 6 - 3) - 1, 0, 1);
    const shown = value * (1 - saturation + saturation * wave);
    // About what sRGB's curve undoes; exact enough for a colour that is drawn by chance.
    return shown * shown * (0.85 * shown + 0.15) + 0.002;
  };
  return [channel(0), channel(2 / 3), channel(1 / 3)];
}

/** Spread of colours: hues are in turns and may run beyond 1. */
export interface Palette {
  readonly hue: readonly [number, number];
  readonly saturation: readonly [number, number];
  readonly value: readonly [number, number];
}

export function pickColour(random: Random, { hue, saturation, value }: Palette): Vector {
  return colourOf(random.between(...hue), random.between(...saturation), random.between(...value));
}

export const CLOTHS: Palette = { hue: [0, 1], saturation: [0, 0.5], value: [0.12, 0.85] };
export const PALE: Palette = { hue: [0, 1], saturation: [0, 0.14], value: [0.65, 0.95] };
export const WOODS: Palette = { hue: [0.04, 0.11], saturation: [0.25, 0.65], value: [0.25, 0.75] };
