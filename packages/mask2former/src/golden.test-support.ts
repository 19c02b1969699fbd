import { readFileSync } from 'node:fs';
import { type Golden, loadGolden } from '@rass/testkit';
import type { Checkpoint } from '@rass/weights';
import { openCheckpoint } from '@rass/weights/node';
import { type Tensor, type Tensor4D, tensor, transpose } from '@tensorflow/tfjs-core';
import type { PointSource } from './criterion/points.ts';

const folder = new URL('../../../test-fixtures/golden/mask2former/', import.meta.url);

/** The bytes of a file of the golden cases. */
export const goldenFile = (name: string): Uint8Array => readFileSync(new URL(name, folder));

/** A case of transformers' model: its config.json, its checkpoint, and what it makes of the inputs. */
export interface ModelCase {
  readonly golden: Golden;
  readonly config: { backbone_config: Record<string, unknown> };
  readonly open: (file?: string) => Promise<Checkpoint>;
}

export function modelCase(name: string): ModelCase {
  return {
    golden: loadGolden(`mask2former/${name}`),
    config: JSON.parse(readFileSync(new URL(`${name}/config.json`, folder), 'utf8')),
    open: (file = 'model.safetensors') => openCheckpoint(new URL(`${name}/${file}`, folder)),
  };
}

/** An image or map, which the file has channels first. */
export function goldenMap(golden: Golden, name: string): Tensor4D {
  const stored = golden.tensor(name) as Tensor4D;
  const map = transpose(stored, [0, 2, 3, 1]);
  stored.dispose();
  return map;
}

/** A weight's gradient as the tree holds the weight. */
export function goldenWeight(golden: Golden, name: string): Tensor {
  const { shape, values } = golden.raw(name);
  if (shape.length !== 4) return tensor(values, shape);
  const stored = golden.tensor(name) as Tensor4D;
  const weight = transpose(stored, [2, 3, 1, 0]);
  stored.dispose();
  return weight;
}

/** The points that the Python library drew. */
export function goldenPoints(golden: Golden): PointSource {
  const read = (name: string): Float32Array => golden.raw(`in/${name}`).values as Float32Array;
  return {
    matching: (layer, image) => read(`matching.${layer}.${image}`),
    candidates: (layer) => read(`candidates.${layer}`),
    uniform: (layer) => read(`uniform.${layer}`),
  };
}
