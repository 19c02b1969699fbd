import { alignedFloats } from '@rass/kernels';

// Outputs moved at a time, so that the streams read and the run written stay in the processor's caches.
const BLOCK = 64;

type Elements = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/** A convolution's weights from PyTorch's order to TensorFlow's, of whatever type they are stored in.
 * @shape [O, I, Kh, Kw] -> [Kh, Kw, I, O] @returns out */
export function hwioInto<T extends Elements>(values: T, oihw: readonly number[], out: T): T {
  const [outputs, inputs, rows, columns] = oihw;
  const places = rows * columns;
  const perOutput = inputs * places;
  for (let first = 0; first < outputs; first += BLOCK) {
    const count = Math.min(BLOCK, outputs - first);
    for (let i = 0; i < inputs; i++) {
      for (let place = 0; place < places; place++) {
        const from = first * perOutput + i * places + place;
        const to = (place * inputs + i) * outputs + first;
        for (let o = 0; o < count; o++) out[to + o] = values[from + o * perOutput];
      }
    }
  }
  return out;
}

/** The same for float32. @shape [O, I, Kh, Kw] -> [Kh, Kw, I, O] */
export const toHwio = (values: Float32Array<ArrayBuffer>, oihw: readonly number[]): Float32Array<ArrayBuffer> =>
  hwioInto(values, oihw, alignedFloats(values.length));

/** The way back. @shape [Kh, Kw, I, O] -> [O, I, Kh, Kw] */
export function toOihw(values: Float32Array, hwio: readonly number[]): Float32Array<ArrayBuffer> {
  const [rows, columns, inputs, outputs] = hwio;
  const places = rows * columns;
  const perOutput = inputs * places;
  const out = new Float32Array(values.length);
  for (let first = 0; first < outputs; first += BLOCK) {
    const count = Math.min(BLOCK, outputs - first);
    for (let i = 0; i < inputs; i++) {
      for (let place = 0; place < places; place++) {
        const to = first * perOutput + i * places + place;
        const from = (place * inputs + i) * outputs + first;
        for (let o = 0; o < count; o++) out[to + o * perOutput] = values[from + o];
      }
    }
  }
  return out;
}
