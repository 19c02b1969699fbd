import { type Embedding, embedding, type Linear, linear, type ParamSource } from '@rass/nn';
import { type Tensor, type Tensor1D, type Tensor2D, tensor1d } from '@tensorflow/tfjs-core';
import type { Activation } from './activation.ts';
import type { ClassConfig, UnetConfig } from './config.ts';
import {
  type Timestep,
  type TimestepEmbedding,
  timestepEmbedding,
  timestepEmbeddingParams,
  timestepSinusoid,
} from './time-embedding.ts';

/** How the model is told a class, a noise level or an image embedding. */
export type ClassEmbedding =
  | { readonly form: 'table'; readonly table: Embedding }
  | { readonly form: 'timestep' | 'projection'; readonly layers: TimestepEmbedding }
  | { readonly form: 'simple_projection'; readonly projection: Linear }
  | { readonly form: 'identity' };

/** A class number for all samples or for each (table and timestep kinds), or vectors [B, I] (the others). */
export type ClassLabels = number | readonly number[] | Tensor1D | Tensor2D;

/** @source diffusers UNet2DConditionModel._set_class_embedding */
export function classEmbeddingParams(from: ParamSource, c: ClassConfig, time: UnetConfig['time']): ClassEmbedding {
  switch (c.kind) {
    case 'table':
      return { form: 'table', table: from.embedding(c.classes, time.width) };
    case 'timestep':
      return { form: 'timestep', layers: timestepEmbeddingParams(from, time.sinusoid, time.width) };
    case 'projection':
      return { form: 'projection', layers: timestepEmbeddingParams(from, c.width, time.width) };
    case 'simple_projection':
      return { form: 'simple_projection', projection: from.linear(c.width, time.width) };
    case 'identity':
      return { form: 'identity' };
  }
}

function numbers(labels: ClassLabels, batch: number): Tensor1D {
  if (typeof labels === 'object' && 'dtype' in labels) return labels as Tensor1D;
  const list = typeof labels === 'number' ? Array<number>(batch).fill(labels) : labels;
  if (list.length === batch && list.every((n) => Number.isInteger(n) && n >= 0)) return tensor1d([...list], 'int32');
  throw new Error(
    `unet: classLabels are whole numbers from 0 up, one for all samples or one for each; got [${list}] for ${batch} samples; give ${batch}`,
  );
}

function vectors(labels: ClassLabels, batch: number): Tensor2D {
  if (typeof labels === 'object' && 'dtype' in labels && labels.rank === 2 && labels.shape[0] === batch) {
    return labels as Tensor2D;
  }
  const got = typeof labels === 'object' && 'dtype' in labels ? `[${(labels as Tensor).shape}]` : `${labels}`;
  throw new Error(
    `unet: classLabels of this model are vectors [B, I]; got ${got} for ${batch} samples; give a rank-2 tensor`,
  );
}

/** @shape [B, W] @throws when the labels are not of the kind that the model takes @source diffusers get_class_embed */
export function classEmbedding(
  p: ClassEmbedding,
  labels: ClassLabels,
  batch: number,
  config: { time: UnetConfig['time']; activation: Activation },
): Tensor2D {
  switch (p.form) {
    case 'table':
      return embedding(p.table, numbers(labels, batch)) as Tensor2D;
    case 'timestep': {
      const sinusoid = timestepSinusoid(labels as Timestep, batch, config.time, 'class label');
      return timestepEmbedding(p.layers, sinusoid, config.activation);
    }
    case 'projection':
      // Unlike the timestep kind, it does not follow act_fn.
      return timestepEmbedding(p.layers, vectors(labels, batch), 'silu');
    case 'simple_projection':
      return linear(p.projection, vectors(labels, batch));
    case 'identity':
      return vectors(labels, batch);
  }
}
