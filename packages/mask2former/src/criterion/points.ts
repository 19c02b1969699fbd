import { alignedFloats, multiScaleDeformableAttention } from '@rass/kernels';
import { namedRandom } from '@rass/nn';
import {
  ones,
  reshape,
  type Tensor2D,
  type Tensor3D,
  type Tensor4D,
  type Tensor5D,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';
import { refuse } from './refuse.ts';

/** Where random points come from. Each list is (x, y) in turn, in [0, 1) of the image's width and height. */
export interface PointSource {
  /** The points at which one image's masks are compared with all its targets. */
  matching(layer: number, image: number, points: number): Float32Array;
  /** For each matched pair its own: candidates, of which the least certain are taken. */
  candidates(layer: number, masks: number, points: number): Float32Array;
  /** The others that are taken whatever the mask says. */
  uniform(layer: number, masks: number, points: number): Float32Array;
}

/** Points from a seed, the same on every backend. Take another seed for each step. @throws when the seed is no whole
 * number */
export function randomPoints(seed: number): PointSource {
  if (!Number.isSafeInteger(seed)) refuse('a seed of points is a whole number', seed, "give one, as the step's number");
  const fill = (name: string, count: number): Float32Array => {
    const next = namedRandom(seed, name);
    const values = alignedFloats(count);
    // Millions for a step: Float32Array.from would take seven times as long.
    for (let i = 0; i < count; i++) values[i] = next();
    return values;
  };
  return {
    matching: (layer, image, points) => fill(`matching ${layer} ${image}`, points * 2),
    candidates: (layer, masks, points) => fill(`candidates ${layer}`, masks * points * 2),
    uniform: (layer, masks, points) => fill(`uniform ${layer}`, masks * points * 2),
  };
}

/** The same source, whose lists are counted. @throws when one is too short or too long */
export function countedPoints(source: PointSource): PointSource {
  const counted = (name: string, values: Float32Array, points: number): Float32Array => {
    if (values.length === 2 * points) return values;
    return refuse(`a source gives x and y of ${points} points for ${name}`, values.length, 'correct the source');
  };
  return {
    matching: (layer, image, points) =>
      counted(`matching image ${image} in layer ${layer}`, source.matching(layer, image, points), points),
    candidates: (layer, masks, points) =>
      counted(`candidates in layer ${layer}`, source.candidates(layer, masks, points), masks * points),
    uniform: (layer, masks, points) =>
      counted(`uniform ones in layer ${layer}`, source.uniform(layer, masks, points), masks * points),
  };
}

/** Each map's values at its own points, bilinearly, 0 outside. @shape maps [R, H, W], points [R, P, 2] (x, y) in [0, 1]
 * -> [R, P]
 * @source torch.nn.functional.grid_sample, align_corners=False */
export function samplePoints(maps_RHW: Tensor3D, points_RP2: Tensor3D): Tensor2D {
  const [R, H, W] = maps_RHW.shape;
  const P = points_RP2.shape[1];
  // A map is one head of one channel, a point a query that samples once.
  return tidy(() => {
    const values = reshape(maps_RHW, [R, H * W, 1, 1]) as Tensor4D;
    const places = reshape(points_RP2, [R, P, 1, 1, 2]) as Tensor5D;
    const sampled = multiScaleDeformableAttention(values, [{ rows: H, columns: W }], places, ones([R, P, 1, 1]));
    return reshape(sampled, [R, P]);
  });
}

/** All maps' values at the same points. @shape maps [R, H, W], points [P, 2] (x, y) in [0, 1] -> [R, P] */
export function sampleSamePoints(maps_RHW: Tensor3D, points_P2: Tensor2D): Tensor2D {
  const [R, H, W] = maps_RHW.shape;
  const P = points_P2.shape[0];
  return tidy(() => {
    const channels = transpose(reshape(maps_RHW, [R, H * W]), [1, 0]);
    const values = reshape(channels, [1, H * W, 1, R]) as Tensor4D;
    const places = reshape(points_P2, [1, P, 1, 1, 2]) as Tensor5D;
    const sampled = multiScaleDeformableAttention(values, [{ rows: H, columns: W }], places, ones([1, P, 1, 1]));
    return transpose(reshape(sampled, [P, R]), [1, 0]);
  });
}
