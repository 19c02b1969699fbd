export { alignedBytes, alignedFloats } from './aligned-arrays.ts';
export { type BlockOutputs, checkpoint } from './autodiff/checkpoint.ts';
export { detached } from './autodiff/detached.ts';
export { type ForwardPass, forwardPass } from './autodiff/forward-pass.ts';
export { type GradientsOf, type GradientsOptions, gradients, valueAndGradients } from './autodiff/gradients.ts';
export { BackendError, type BackendErrorCode } from './backends/errors.ts';
export { listBackends } from './backends/list.ts';
export { trimBackendMemory } from './backends/memory.ts';
export { selectBackend } from './backends/select.ts';
export {
  BACKEND_NAMES,
  type BackendCapabilities,
  type BackendInfo,
  type BackendName,
  type BackendStatus,
  type SelectOptions,
  type WasmOptions,
  type WebgpuOptions,
} from './backends/types.ts';
export { DeviceError, type DeviceErrorCode } from './backends/webgpu/device-errors.ts';
export { installGradients } from './gradients/install.ts';
export { geglu, gelu, quickGelu, silu } from './ops/activations.ts';
export { type AttentionOptions, attention, attentionWithProbabilities } from './ops/attention.ts';
export { type Conv2dOptions, conv2d, type Padding2d } from './ops/conv2d.ts';
export { type FeatureLevel, multiScaleDeformableAttention } from './ops/deformable-attention.ts';
export { linear } from './ops/linear.ts';
export { type GroupNormOptions, groupNorm, layerNorm } from './ops/norm.ts';
export { type ResizeMethod, type ResizeOptions, resize, upsampleNearest } from './ops/resize.ts';
export { canPack, isPacked, type PackedLayout, type PackedValues, packedTensor } from './packed-tensor.ts';
export { type Piece, type PieceOptions, runAtOnce, runInPieces } from './pieces.ts';
export { registerRepairedKernels } from './repaired-kernels/all.ts';
