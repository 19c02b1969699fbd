import { clamp, fraction, mix } from '../maths/arithmetic.ts';
import { octaves } from '../maths/noise.ts';
import { cellValue } from '../maths/random.ts';
import type { Vector } from '../maths/vector.ts';
import { type Hit, type Material, paint, shadeBy, tilt, tintTo } from '../render/hit.ts';

/** How the windows of a wall are laid out and made; metres. */
export interface FacadeStyle {
  readonly wall: Material;
  readonly floorHeight: number;
  /** From one window's middle to the next one's. */
  readonly spacing: number;
  readonly width: number;
  readonly height: number;
  /** Of the sill, above its floor. */
  readonly sill: number;
  readonly frame: Vector;
  /** Of the stone around a window; 0 for none. */
  readonly surround: number;
  readonly surroundColour: Vector;
  /** Panes across and up. */
  readonly panes: readonly [number, number];
  readonly recess: number;
  readonly shutters?: Vector;
  /** Where a window is round at its top. */
  readonly arched: boolean;
  /** The lowest floor is shop windows. */
  readonly shops: boolean;
  /** Share of windows that are lit from within. */
  readonly lit: number;
  readonly glass: Vector;
  readonly sun: Vector;
  readonly seed: number;
}

/** How much of a pixel around `x` lies between two limits. */
export function inside(x: number, from: number, to: number, footprint: number): number {
  return clamp((x - from) / footprint + 0.5, 0, 1) * clamp((to - x) / footprint + 0.5, 0, 1);
}

/** A wall with windows; u runs along the wall, v up from the ground. */
export function facade(style: FacadeStyle): Material {
  const { floorHeight, spacing } = style;
  return (hit) => {
    const columns = Math.max(1, Math.floor((hit.width - 0.5) / spacing));
    const floors = Math.max(1, Math.round(hit.height / floorHeight));
    const margin = (hit.width - columns * spacing) / 2;
    const column = Math.floor((hit.u - margin) / spacing);
    const floor = Math.floor(hit.v / floorHeight);
    style.wall(hit);
    band(hit, style);
    if (column < 0 || column >= columns || floor >= floors || hit.v > hit.height - 0.25) return;
    const x = hit.u - margin - (column + 0.5) * spacing;
    const y = hit.v - floor * floorHeight;
    if (style.shops && floor === 0) shopWindow(hit, style, x, y, column);
    else aperture(hit, style, x, y - style.sill, cellValue(column, floor, style.seed));
  };
}

/** A line of stone between floors. */
function band(hit: Hit, { floorHeight, surround, surroundColour }: FacadeStyle): void {
  if (surround < 0.11) return;
  const y = hit.v - Math.round(hit.v / floorHeight) * floorHeight;
  const share = inside(y, -0.1, 0.12, hit.footprint);
  if (hit.v > 1 && share > 0) {
    tintTo(hit, surroundColour, share);
    tilt(hit, 0, share * 0.5 * clamp(y * 10, -1, 1));
  }
  shadeBy(hit, 1 - 0.35 * inside(y, -0.22, -0.1, hit.footprint));
}

/** x from the window's middle, y from its sill. */
function aperture(hit: Hit, style: FacadeStyle, x: number, y: number, value: number): void {
  const { width, height, surround, footprint } = { ...style, footprint: hit.footprint };
  const half = width / 2;
  if (Math.abs(x) > half * 2.4 || y < -0.4 || y > height + 0.6) return;
  if (style.shutters) shutters(hit, style, x, y, value);
  if (surround > 0) {
    const share =
      inside(x, -half - surround, half + surround, footprint) * inside(y, -0.12, height + surround * 1.4, footprint);
    tintTo(hit, style.surroundColour, share * 0.9);
  }
  // The sill, and its shadow on the wall.
  const sill = inside(x, -half - 0.09, half + 0.09, footprint) * inside(y, -0.1, 0, footprint);
  tintTo(hit, style.surroundColour, sill);
  shadeBy(hit, 1 - 0.4 * inside(x, -half - 0.07, half + 0.07, footprint) * inside(y, -0.22, -0.1, footprint));
  const top = style.arched ? height - half + Math.sqrt(Math.max(0, half * half - x * x)) : height;
  const share = inside(x, -half, half, footprint) * inside(y, 0, top, footprint);
  if (share > 0) glazing(hit, style, x + half, y, share, value);
}

function shutters(
  hit: Hit,
  { width, height, shutters: colour = [0.1, 0.2, 0.15] }: FacadeStyle,
  x: number,
  y: number,
  value: number,
): void {
  if (value > 0.9) return;
  const half = width / 2;
  const away = Math.abs(x) - half;
  const share = inside(away, 0.02, half + 0.02, hit.footprint) * inside(y, -0.02, height + 0.02, hit.footprint);
  if (share <= 0) return;
  const slat = fraction(y * 14) - 0.5;
  tintTo(hit, colour, share);
  shadeBy(hit, 1 + share * 0.5 * slat * clamp(1.5 - 20 * hit.footprint, 0, 1));
  tilt(hit, 0, share * -0.4 * slat);
}

/** Frame, bars, glass and what is behind it. x and y from the opening's lower left corner. */
function glazing(hit: Hit, style: FacadeStyle, x: number, y: number, share: number, value: number): void {
  const { width, height, panes, frame, recess } = style;
  const { footprint } = hit;
  const [wall, green, blue] = [hit.red, hit.green, hit.blue];
  const bar = 0.05;
  const edge = 1 - inside(x, bar, width - bar, footprint) * inside(y, bar, height - bar, footprint);
  const cellX = fraction((x / width) * panes[0]);
  const cellY = fraction((y / height) * panes[1]);
  const across = (Math.min(cellX, 1 - cellX) * width) / panes[0];
  const up = (Math.min(cellY, 1 - cellY) * height) / panes[1];
  const bars = Math.max(edge, inside(Math.min(across, up), -1, 0.02, footprint));
  behindGlass(hit, style, x / width, y / height, value);
  tintTo(hit, frame, bars);
  const shadow = recessShadow(hit, style.sun, recess, x, y, width, height);
  shadeBy(hit, mix(1, 0.35, shadow));
  hit.red = mix(wall, hit.red, share);
  hit.green = mix(green, hit.green, share);
  hit.blue = mix(blue, hit.blue, share);
  hit.gloss = 0.09 * share * (1 - bars);
  hit.dullness = mix(1, 0.04, share);
  // Old panes are never quite flat, so that each mirrors another part of the sky.
  const pane = cellValue(
    Math.floor((x / width) * panes[0]),
    Math.floor((y / height) * panes[1]),
    style.seed + Math.floor(value * 999),
  );
  tilt(hit, 0.07 * (pane - 0.5), 0.07 * (value - 0.5));
}

/** A dark room, a curtain or a lit room. */
function behindGlass(hit: Hit, { glass, lit, seed }: FacadeStyle, x: number, y: number, value: number): void {
  const depth = 0.6 + 0.5 * octaves(x * 2 + value * 50, y * 2 + seed, 3, hit.footprint);
  paint(hit, glass, depth * mix(1.2, 0.6, y));
  const kind = fraction(value * 7.7);
  if (kind < 0.3) {
    const open = 0.12 + 0.3 * fraction(value * 31);
    const drawn = x < open || x > 1 - open ? 1 : 0.15;
    const fold = 0.8 + 0.3 * octaves(x * 26 + value * 90, y, 2, hit.footprint * 8);
    tintTo(hit, [0.6 * fold, 0.57 * fold, 0.5 * fold], 0.6 * drawn);
  } else if (kind < 0.45 && y > 1 - 0.7 * fraction(value * 17)) tintTo(hit, [0.5, 0.48, 0.43], 0.75);
  if (fraction(value * 13.3) < lit) {
    const warmth = mix(0.5, 1.1, fraction(value * 5.1)) * (0.6 + 0.4 * y);
    hit.glowRed = 0.9 * warmth;
    hit.glowGreen = 0.58 * warmth;
    hit.glowBlue = 0.26 * warmth;
  }
}

/** How much of a recessed window lies in the shadow of its opening's edges. */
function recessShadow(
  hit: Hit,
  sun: Vector,
  recess: number,
  x: number,
  y: number,
  width: number,
  height: number,
): number {
  const out = sun[0] * hit.nx + sun[1] * hit.ny + sun[2] * hit.nz;
  const soft = hit.footprint + 0.03;
  const corner =
    Math.max(inside(x, -1, 0.05, soft), inside(width - x, -1, 0.05, soft), inside(height - y, -1, 0.1, soft)) * 0.45;
  if (out <= 0.05) return corner;
  const along = ((sun[0] * hit.ux + sun[1] * hit.uy + sun[2] * hit.uz) / out) * recess;
  const up = ((sun[0] * hit.vx + sun[1] * hit.vy + sun[2] * hit.vz) / out) * recess;
  const lit = inside(x + along, 0, width, soft) * inside(y + up, 0, height, soft);
  return Math.max(1 - lit, corner);
}

function shopWindow(hit: Hit, style: FacadeStyle, x: number, y: number, column: number): void {
  const { spacing, floorHeight, seed } = style;
  const value = cellValue(column, 77, seed);
  const half = spacing * 0.44;
  const top = floorHeight - 0.75;
  const sign = inside(x, -spacing, spacing, hit.footprint) * inside(y, top + 0.08, top + 0.55, hit.footprint);
  if (sign > 0) {
    tintTo(hit, [fraction(value * 3.1) * 0.5, fraction(value * 7.3) * 0.35, fraction(value * 11.9) * 0.4], sign);
    const letters =
      octaves(hit.u * 5 + value * 80, y * 2, 2, hit.footprint * 5) > 0.12
        ? inside(y, top + 0.2, top + 0.42, hit.footprint)
        : 0;
    tintTo(hit, [0.75, 0.72, 0.6], 0.8 * letters * sign);
  }
  const share = inside(x, -half, half, hit.footprint) * inside(y, 0.4, top, hit.footprint);
  if (share > 0)
    glazing(
      hit,
      { ...style, width: 2 * half, height: top - 0.4, panes: [2, 1], recess: 0.2 },
      x + half,
      y - 0.4,
      share,
      value,
    );
}
