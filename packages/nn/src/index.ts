export { type Attention, type AttentionInputs, type AttentionResult, multiHeadAttention } from './attention.ts';
export { MOST } from './bounds.ts';
export { closest } from './closest.ts';
export { type GegluFeedForward, gegluFeedForward, gegluFeedForwardParams } from './feed-forward.ts';
export { conv2d, embedding, groupNorm, layerNorm, linear, plainLayer } from './layers.ts';
export type {
  Adapter,
  Conv2d,
  Embedding,
  GroupNorm,
  Layer,
  LayerForward,
  LayerNorm,
  Leaf,
  LeafKind,
  Linear,
  Parameter,
} from './leaf.ts';
export {
  type Initializer,
  type LayerInit,
  ParamSource,
  type TensorProvider,
  type TensorRequest,
} from './param-source.ts';
export { printable } from './printable.ts';
export { namedRandom, normalNoise, type TensorOfShape } from './random.ts';
export { shown } from './shown.ts';
export { randomParams, shapeParams } from './sources.ts';
export { hostValues } from './table-lookup.ts';
export {
  countParams,
  disposeParams,
  leaves,
  mapLeaves,
  mapTensors,
  type NamedTensor,
  namedTensors,
  trainable,
  trainableTensors,
} from './tree.ts';
