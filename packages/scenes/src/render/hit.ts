/** What a material is asked about, and answers: one place of a surface. One record is used again and again. */
export interface Hit {
  /** The place, in metres. */
  x: number;
  y: number;
  z: number;
  /** The place on the surface, in metres along its two sides. */
  u: number;
  v: number;
  /** Size of a pixel on the surface, in metres. */
  footprint: number;
  /** Which way the surface faces; materials tilt it. */
  nx: number;
  ny: number;
  nz: number;
  /** The surface's sides, along which u and v run. */
  ux: number;
  uy: number;
  uz: number;
  vx: number;
  vy: number;
  vz: number;
  /** Size of the surface along u and v. */
  width: number;
  height: number;
  /** A number from 0 to 1 that the surface has of its own. */
  tint: number;
  /** Of a cut-out: which of its leaves, from 0 to 1. */
  leaf: number;
  /** Colour, linear, as the share of light that is sent back. */
  red: number;
  green: number;
  blue: number;
  /** Share of the light that reaches the place from all around, of what reaches it in the open. */
  open: number;
  /** Mirrored share of light that comes straight down on it; 0 for what is matt. */
  gloss: number;
  /** 0: a mirror, 1: a dull shine. */
  dullness: number;
  /** Share of the light from behind that comes through. */
  through: number;
  /** Light of its own. */
  glowRed: number;
  glowGreen: number;
  glowBlue: number;
  /** The picture itself is mirrored: water, polished floors. */
  mirror: boolean;
}

/** Colour and shape of a surface at a place: reads the place, writes the rest. */
export type Material = (hit: Hit) => void;

export function createHit(): Hit {
  // Every field starts as a fraction, so that the engine keeps them all as numbers of one kind.
  const h = 0.5;
  const place = { x: h, y: h, z: h, u: h, v: h, footprint: h, nx: h, ny: h, nz: h };
  const sides = { ux: h, uy: h, uz: h, vx: h, vy: h, vz: h, width: h, height: h, tint: h, leaf: h };
  const answer = { red: h, green: h, blue: h, open: h, gloss: h, dullness: h, through: h };
  return { ...place, ...sides, ...answer, glowRed: h, glowGreen: h, glowBlue: h, mirror: false };
}

/** A matt grey surface without light of its own, for the material to begin from. */
export function clearAnswer(hit: Hit): void {
  hit.red = 0.5;
  hit.green = 0.5;
  hit.blue = 0.5;
  hit.open = 1;
  hit.gloss = 0;
  hit.dullness = 1;
  hit.through = 0;
  hit.glowRed = 0;
  hit.glowGreen = 0;
  hit.glowBlue = 0;
  hit.mirror = false;
}

export function paint(hit: Hit, colour: readonly number[], factor = 1): void {
  hit.red = colour[0] * factor;
  hit.green = colour[1] * factor;
  hit.blue = colour[2] * factor;
}

/** Draws the colour towards another. */
export function tintTo(hit: Hit, colour: readonly number[], share: number): void {
  hit.red += (colour[0] - hit.red) * share;
  hit.green += (colour[1] - hit.green) * share;
  hit.blue += (colour[2] - hit.blue) * share;
}

export function shadeBy(hit: Hit, factor: number): void {
  hit.red *= factor;
  hit.green *= factor;
  hit.blue *= factor;
}

/** Leans the surface as slopes along u and v would. */
export function tilt(hit: Hit, alongU: number, alongV: number): void {
  const x = hit.nx - alongU * hit.ux - alongV * hit.vx;
  const y = hit.ny - alongU * hit.uy - alongV * hit.vy;
  const z = hit.nz - alongU * hit.uz - alongV * hit.vz;
  const size = Math.sqrt(x * x + y * y + z * z);
  hit.nx = x / size;
  hit.ny = y / size;
  hit.nz = z / size;
}
