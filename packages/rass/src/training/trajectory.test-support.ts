import { IGNORE_LABEL } from '@rass/mask2former';
import { namedRandom, ParamSource } from '@rass/nn';
import { expectClose, type Golden } from '@rass/testkit';
import { type Tensor, tensor, tidy, transpose } from '@tensorflow/tfjs-core';
import { expect } from 'vitest';

// Weights and inputs by name, as test-fixtures/make/rass_training.py draws them, so that nothing of them is in the fixtures.
const SEED = 1;
const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Uniform in [0, 1). */
function draws(name: string, count: number): number[] {
  const next = namedRandom(SEED, name);
  return Array.from({ length: count }, next);
}

const uniform = (name: string, count: number, scale: number): Float32Array =>
  Float32Array.from(draws(name, count), (u) => (2 * u - 1) * scale);

/** Uniform in [-scale, scale). */
export const drawn = <T extends Tensor>(name: string, shape: number[], scale = 1): T =>
  tensor(uniform(name, product(shape), scale), shape) as T;

/** The same for what PyTorch has channels first. @shape [B, C, H, W] -> [B, H, W, C] */
export const drawnMap = <T extends Tensor>(name: string, shape: number[], scale = 1): T =>
  tidy(() => transpose(drawn(name, shape, scale), [0, 2, 3, 1]) as T);

/** One for each sample, from `low` to below `high`. */
export const drawnTimesteps = (name: string, count: number, [low, high]: readonly [number, number]): number[] =>
  draws(name, count).map((u) => low + Math.floor(u * (high - low)));

/** Labels are of so many cells in each direction. */
const CELLS = 8;
const CLASSES = 4;
/** What is drawn above the last class is ignored. */
const IGNORED_SHARE = 0.1;

/** Cells of one class each, some of which are ignored. */
export function drawnLabels(name: string, side: number): { data: Uint8Array; height: number; width: number } {
  const cells = draws(name, CELLS * CELLS).map((u) => Math.floor(u * CLASSES * (1 + IGNORED_SHARE)));
  const at = (place: number): number => Math.floor((place * CELLS) / side);
  const data = Uint8Array.from({ length: side * side }, (_, i) => {
    const cell = cells[at(Math.floor(i / side)) * CELLS + at(i % side)];
    return cell < CLASSES ? cell : IGNORE_LABEL;
  });
  return { data, height: side, width: side };
}

/** A weight's first values, in the checkpoint's layout: `start` of the script. */
function startingValues(model: string, key: string, shape: readonly number[], rank: number): Float32Array {
  const name = `${model}:${key}`;
  const count = product(shape);
  if (key.includes('.lora_B.')) return uniform(name, count, model === 'scr' ? 0.05 : 0);
  if (key.includes('.lora_A.')) return uniform(name, count, 1 / rank);
  if (key.includes('queries_')) return uniform(name, count, 2);
  if (key.startsWith('lin')) return uniform(name, count, 1).map(Math.abs);
  if (shape.length > 1) return uniform(name, count, (model === 'seg' ? 1.2 : 2) / Math.sqrt(product(shape.slice(1))));
  const values = uniform(name, count, 0.2);
  return key.endsWith('weight') ? values.map((value) => 1 + value) : values;
}

/** The weights of a model that the script calls by this name; `rank` is that of its adapters. */
export function startingParams(model: string, rank = 1): ParamSource {
  return new ParamSource(({ key, shape }) => {
    // Weights of convolutions, an adapter's too, are [Kh, Kw, I, O] here and [O, I, Kh, Kw] there.
    if (shape.length !== 4) return tensor(startingValues(model, key, shape, rank), [...shape]);
    const stored = [shape[3], shape[2], shape[0], shape[1]];
    return tidy(() => transpose(tensor(startingValues(model, key, stored, rank), stored), [2, 3, 1, 0]));
  });
}

/** As close as a step's losses are to PyTorch's, and the norm of its gradients, each by itself. */
const TOLERANCE = 1e-3;

/** Runs as many steps as the fixture has, and compares every number of each. */
export async function expectTrajectory(
  golden: Golden,
  step: (step: number) => Promise<Readonly<Record<string, number>>>,
): Promise<void> {
  const names = golden.names('out/').sort();
  for (let i = 0; i < golden.config.steps; i++) {
    const found = await step(i);
    expect(Object.keys(found).sort()).toEqual(names);
    for (const name of names) {
      const expected = golden.raw(`out/${name}`).values[i];
      await expectClose([found[name]], [expected], { relative: TOLERANCE, label: `${name} of step ${i}` });
    }
  }
}
