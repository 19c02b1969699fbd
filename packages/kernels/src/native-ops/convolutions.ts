import {
  Add,
  Conv2D,
  Conv2DBackpropInput,
  getKernel,
  type KernelConfig,
  type NamedTensorInfoMap,
  registerKernel,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import { type KernelCall as Call, wrapKernel } from '../wrapped-kernel.ts';

type Attributes = Record<string, unknown>;

/** With fewer channels on a side the transforms cost more than the multiplications that they save. */
const LEAST_CHANNELS = 16;

const isOne = (value: unknown): boolean =>
  value === undefined || (Array.isArray(value) ? value.every((each) => each === 1) : value === 1);

/** Whether it is 3 x 3, of stride 1 with zeros around the image, and worth Winograd's transforms. */
function fits(image: TensorInfo, weight: TensorInfo, attrs: Attributes): boolean {
  const [rows, columns, inputs, outputs] = weight.shape;
  return (
    rows === 3 &&
    columns === 3 &&
    Math.min(inputs, outputs) >= LEAST_CHANNELS &&
    attrs['pad'] === 'same' &&
    (attrs['dataFormat'] ?? 'NHWC') === 'NHWC' &&
    isOne(attrs['strides']) &&
    isOne(attrs['dilations']) &&
    image.shape.length === 4 &&
    image.dtype === 'float32' &&
    weight.dtype === 'float32'
  );
}

function run(
  backendName: string,
  name: string,
  inputs: Record<string, TensorInfo>,
  { backend }: Call,
  attrs: Attributes,
): TensorInfo {
  // biome-ignore format: one line
  const kernel = getKernel(name, backendName);
  return kernel.kernelFunc({ inputs: inputs as NamedTensorInfoMap, attrs: attrs as never, backend }) as TensorInfo;
}

/** Lets the addon's 3 x 3 convolution take over from TensorFlow's kernels where it can, forward and by the image, and
 * registers RassConv2d, which adds a bias in the same pass. Idempotent. */
export function registerConvolutions(backendName: string): void {
  const enabled = (): boolean => getKernel('RassConv3x3', backendName) !== undefined;
  wrapKernel(Conv2D, backendName, (call) => {
    const { x, filter } = call.inputs as { x: TensorInfo; filter: TensorInfo };
    if (!enabled() || !fits(x, filter, call.attrs ?? {})) return undefined;
    return run(backendName, 'RassConv3x3', { x, weight: filter }, call, { transposed: false });
  });
  wrapKernel(Conv2DBackpropInput, backendName, (call) => {
    const { dy, filter } = call.inputs as { dy: TensorInfo; filter: TensorInfo };
    if (!enabled() || !fits(dy, filter, call.attrs ?? {})) return undefined;
    return run(backendName, 'RassConv3x3', { x: dy, weight: filter }, call, { transposed: true });
  });
  if (getKernel('RassConv2d', backendName) !== undefined) return;
  const kernelFunc: KernelConfig['kernelFunc'] = (call) => {
    const { x, weight, bias } = call.inputs as { x: TensorInfo; weight: TensorInfo; bias?: TensorInfo };
    const attrs = call.attrs as Attributes;
    if (enabled() && bias !== undefined && fits(x, weight, attrs)) {
      return run(backendName, 'RassConv3x3Bias', { x, weight, bias }, call, { transposed: false });
    }
    const y = run(backendName, Conv2D, { x, filter: weight }, call, { dataFormat: 'NHWC', ...attrs });
    return bias === undefined ? y : run(backendName, Add, { a: y, b: bias }, call, {});
  };
  registerKernel({ kernelName: 'RassConv2d', backendName, kernelFunc });
}
