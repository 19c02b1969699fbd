import { clamp, fraction, mix, smoothStep } from '../maths/arithmetic.ts';
import { noise, octaves } from '../maths/noise.ts';
import { cellValue } from '../maths/random.ts';
import type { Vector } from '../maths/vector.ts';
import { type Hit, type Material, paint, shadeBy, tilt, tintTo } from '../render/hit.ts';

/** Pieces laid in rows: bricks, blocks, slabs, tiles, planks. */
export interface Courses {
  /** Of a piece, in metres. */
  readonly width: number;
  readonly height: number;
  readonly joint: number;
  readonly colours: readonly Vector[];
  readonly jointColour: Vector;
  /** How unlike pieces are, from 0 to 1. */
  readonly variety: number;
  /** Height of the noise on a piece, and how many of its waves there are in a metre. */
  readonly roughness: number;
  readonly grain: number;
  /** How far each row is set off from the one below, in pieces. */
  readonly offset: number;
  /** How crooked the pieces are, in metres. */
  readonly crooked?: number;
  readonly gloss?: number;
  readonly dullness?: number;
  readonly seed: number;
}

export function courses(of: Courses): Material {
  const { width, height, joint, colours, jointColour, variety, seed, gloss = 0, dullness = 1, crooked = 0 } = of;
  return (hit) => {
    let { u, v } = hit;
    if (crooked > 0) {
      u += crooked * noise(hit.u * 2.3 + 5, hit.v * 2.3 + seed);
      v += crooked * noise(hit.u * 2.1 + 55, hit.v * 2.9 + seed);
    }
    const row = Math.floor(v / height);
    // Rows of `offset` 1 begin anywhere, as planks do.
    const shift = of.offset === 1 ? cellValue(row, 3, seed) : row * of.offset;
    const column = Math.floor(u / width + shift);
    const across = (u / width + shift - column) * width;
    const up = v - row * height;
    const piece = cellValue(column, row, seed);
    const visible = clamp(1.6 - (1.2 * hit.footprint) / height, 0, 1);
    const colour = colours[Math.floor(cellValue(row, column, seed + 1) * colours.length)];
    paint(hit, colours[0]);
    tintTo(hit, colour, visible);
    shadeBy(hit, 1 + visible * variety * (piece - 0.5));
    roughen(hit, of, piece * 37);
    const edge = Math.min(across, width - across, up, height - up);
    const soft = Math.max(0.25 * joint, 0.5 * hit.footprint);
    // Joints that are finer than a pixel dim all of it by their share.
    const share = clamp((joint / 2 + soft / 2 - edge) / soft, 0, 1) * clamp((2 * joint) / hit.footprint, 0, 1);
    tintTo(hit, jointColour, share * 0.9);
    hit.gloss = gloss * (1 - share);
    hit.dullness = dullness;
    if (visible > 0.2) bevel(hit, across, up, width, height, joint);
    stain(hit, seed);
  };
}

function roughen(hit: Hit, { roughness, grain, seed }: Courses, piece: number): void {
  if (roughness === 0) return;
  const { u, v, footprint } = hit;
  const n = octaves(u * grain + piece, v * grain + seed, 4, footprint * grain, 0.62);
  shadeBy(hit, Math.max(0.2, 1 + roughness * n));
  const slope = octaves(u * grain + piece + 40, v * grain, 2, footprint * grain);
  tilt(hit, roughness * 0.5 * slope, roughness * 0.5 * n);
}

function bevel(hit: Hit, across: number, up: number, width: number, height: number, joint: number): void {
  const round = Math.max(joint, hit.footprint);
  const left = clamp(1 - across / round, 0, 1) - clamp(1 - (width - across) / round, 0, 1);
  const low = clamp(1 - up / round, 0, 1) - clamp(1 - (height - up) / round, 0, 1);
  tilt(hit, 0.5 * left, 0.5 * low);
}

/** Weather's marks: broad, faint patches and runs. */
function stain(hit: Hit, seed: number): void {
  const broad = octaves(hit.u * 0.35 + seed, hit.v * 0.35, 4, hit.footprint * 0.35, 0.6);
  const runs = noise(hit.u * 2.2 + seed, hit.v * 0.22);
  shadeBy(hit, 1 + 0.13 * broad + 0.06 * runs);
}

/** Rendered or painted wall: nearly even, with patches, runs below and fine grain. */
export function plaster(colour: Vector, seed: number, wear: number): Material {
  return (hit) => {
    paint(hit, colour);
    const { u, v, footprint } = hit;
    const broad = octaves(u * 0.5 + seed, v * 0.5, 5, footprint * 0.5, 0.6);
    const fine = octaves(u * 24 + seed, v * 24, 3, footprint * 24, 0.7);
    const runs = octaves(u * 3 + seed, v * 0.3 + 7, 3, footprint * 3);
    shadeBy(hit, Math.max(0.3, 1 + wear * (0.16 * broad + 0.12 * runs) + 0.05 * fine));
    // Damp and dirt at the foot.
    const foot = smoothStep(0.9, 0, v + 0.5 * broad);
    shadeBy(hit, 1 - 0.3 * wear * foot);
    tilt(hit, 0.04 * fine, 0.04 * noise(u * 31, v * 31 + seed));
    if (wear > 0.75 && broad > 0.45) tintTo(hit, [0.16, 0.11, 0.08], 0.5 * smoothStep(0.45, 0.6, broad));
  };
}

export function concrete(colour: Vector, seed: number, panel: number): Material {
  return (hit) => {
    paint(hit, colour);
    const { u, v, footprint } = hit;
    const broad = octaves(u * 0.6 + seed, v * 0.6, 6, footprint * 0.6, 0.6);
    const runs = octaves(u * 2.5 + seed, v * 0.2, 4, footprint * 2.5);
    shadeBy(hit, 1 + 0.15 * broad + 0.1 * runs);
    const seamU = Math.min(fraction(u / panel), 1 - fraction(u / panel)) * panel;
    const seamV = Math.min(fraction(v / panel), 1 - fraction(v / panel)) * panel;
    const seam = clamp(1 - Math.min(seamU, seamV) / Math.max(0.015, footprint), 0, 1);
    shadeBy(hit, 1 - 0.45 * seam * clamp(0.04 / footprint, 0, 1));
  };
}

/** Roofing: rows of tiles or slates, each row over the one below. v runs up the slope. */
export function roofing(colours: readonly Vector[], seed: number, curved: boolean): Material {
  const [width, height] = curved ? [0.22, 0.3] : [0.28, 0.2];
  return (hit) => {
    const { u, v, footprint } = hit;
    const row = Math.floor(v / height);
    const along = u / width + (row & 1) * 0.5;
    const column = Math.floor(along);
    const visible = clamp(1.7 - footprint / height, 0, 1);
    const pick = cellValue(column, row, seed);
    paint(hit, colours[0]);
    tintTo(hit, colours[Math.floor(pick * colours.length)], visible);
    shadeBy(hit, 1 + visible * 0.5 * (cellValue(row, column, seed + 5) - 0.5));
    const up = v / height - row;
    shadeBy(hit, mix(0.88, mix(0.5, 1, smoothStep(0, 0.3, up)), visible));
    if (curved) tilt(hit, visible * 1.1 * (fraction(along) - 0.5) * 2, 0);
    else shadeBy(hit, 1 - 0.35 * visible * clamp(1 - fraction(along) * 8, 0, 1));
    const broad = octaves(u * 0.4 + seed, v * 0.4, 5, footprint * 0.4, 0.6);
    shadeBy(hit, 1 + 0.2 * broad);
    // Moss and soot.
    tintTo(hit, [0.05, 0.06, 0.03], 0.45 * smoothStep(0.25, 0.7, broad));
  };
}
