import { canPack, type PackedValues, packedTensor } from '@rass/kernels';
import { ParamSource, randomParams, type TensorRequest } from '@rass/nn';
import { keep } from '@tensorflow/tfjs-core';

const SEED = 1;
const GROUP = 32;
/** 2^-9 and -2^-6 in float16: what codes stand for is around zero, as weights are. */
const [SCALE, BIAS] = [0x1800, 0xa400];

/** How weights are stored in memory. */
export type Stored = 'half' | '8-bits' | '4-bits';

/** Numbers of float16 from -2^-5 to 2^-5, or codes; the same each time. */
function valuesOf(stored: Stored, { shape, layout }: TensorRequest): PackedValues {
  const size = shape.reduce((a, b) => a * b, 1);
  let state = SEED;
  const word = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state;
  };
  if (stored === 'half') {
    const bits = Uint16Array.from({ length: size }, () => {
      const drawn = word();
      return ((drawn >> 31) << 15) | ((6 + ((drawn >>> 20) & 3)) << 10) | ((drawn >>> 8) & 1023);
    });
    return { kind: 'half', bits };
  }
  const bits = stored === '4-bits' ? 4 : 8;
  const outputs = layout === 'conv2d' ? shape.at(-1)! : shape[0]!;
  const groups = outputs * Math.ceil(size / outputs / GROUP);
  return {
    kind: 'affine',
    layout: layout === 'conv2d' ? 'hwio' : 'oi',
    bits,
    groupSize: GROUP,
    codes: Uint32Array.from({ length: (size * bits) / 32 }, word),
    scales: new Uint16Array(groups).fill(bits === 4 ? SCALE : SCALE - (4 << 10)),
    biases: new Uint16Array(groups).fill(BIAS),
  };
}

/** Random values for a model whose weights stay packed, as a checkpoint's would; what is no weight of a layer is float32. */
export function packedParams(stored: Stored): ParamSource {
  const plain = randomParams(SEED);
  return new ParamSource((request) => {
    const { key, shape, init } = request;
    if (!canPack(stored === 'half' ? 'half' : 'affine', shape)) return plain.at(key).parameter(shape, init).value;
    return keep(packedTensor(valuesOf(stored, request), shape));
  });
}
