/** An operation of our own that the native addon brings along, written in C++ in this package's `native/` folder. */
export interface NativeOperation {
  /** TensorFlow's name for it, and ours for the kernel. */
  name: string;
  inputs: readonly string[];
  outputs: number;
  attributes: Readonly<Record<string, 'int' | 'float' | 'bool'>>;
}

function withGradient(
  forward: NativeOperation,
  inputs: readonly string[],
  outputs: number,
): readonly [NativeOperation, NativeOperation] {
  return [forward, { name: `${forward.name}Grad`, inputs, outputs, attributes: forward.attributes }];
}

function elementwise(name: string): readonly [NativeOperation, NativeOperation] {
  return withGradient({ name, inputs: ['x'], outputs: 1, attributes: {} }, ['x', 'dy'], 1);
}

const affine = ['x', 'weight', 'bias'] as const;
const samples = ['value', 'sizes', 'locations', 'weights'] as const;
const projections = ['q', 'k', 'v'] as const;

/** Every operation of the addon. Attention also returns the logarithms (base 2) of its rows' sums, [B, heads, L], which
 * its backward pass starts from. */
export const NATIVE_OPERATIONS: readonly NativeOperation[] = [
  ...elementwise('RassSilu'),
  ...elementwise('RassGelu'),
  ...elementwise('RassQuickGelu'),
  ...elementwise('RassGeglu'),
  ...withGradient(
    {
      name: 'RassGroupNorm',
      inputs: affine,
      outputs: 1,
      attributes: { groups: 'int', epsilon: 'float', silu: 'bool' },
    },
    [...affine, 'dy'],
    3,
  ),
  ...withGradient(
    { name: 'RassLayerNorm', inputs: affine, outputs: 1, attributes: { epsilon: 'float' } },
    ['x', 'weight', 'dy'],
    3,
  ),
  ...withGradient(
    {
      name: 'RassAttention',
      inputs: projections,
      outputs: 2,
      attributes: { heads: 'int', scale: 'float', causal: 'bool' },
    },
    [...projections, 'out', 'logSums', 'dy'],
    3,
  ),
  ...withGradient(
    { name: 'RassDeformableAttention', inputs: samples, outputs: 1, attributes: {} },
    [...samples, 'dy'],
    3,
  ),
  { name: 'RassConv3x3', inputs: ['x', 'weight'], outputs: 1, attributes: { transposed: 'bool' } },
  { name: 'RassConv3x3Bias', inputs: ['x', 'weight', 'bias'], outputs: 1, attributes: { transposed: 'bool' } },
];
