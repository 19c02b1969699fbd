import { type Checkpoint, type QuantizedData, readFloat32, type TensorInfo, tensorNotFound } from '../checkpoint.ts';
import { byteLengthOf } from '../dtype/dtype.ts';
import { WeightsError } from '../error.ts';
import { dequantizeAffine } from './affine.ts';
import { QUANTIZATION } from './key.ts';
import { mergeQuantization, parseQuantization, partsOf, type Quantization } from './metadata.ts';
import { cutRows, rowsOf } from './rows.ts';

function checkPart(below: Checkpoint, key: string, columns: number, isCodes: boolean, rows: number): void {
  const { dtype, shape } = below.info(key);
  const isRight = isCodes ? dtype === 'U32' : ['F16', 'BF16', 'F32'].includes(dtype);
  if (isRight && shape.length === 2 && shape[0] === rows && shape[1] === columns) return;
  const wanted = `${isCodes ? 'U32' : 'F16, BF16 or F32'} [${rows}, ${columns}]`;
  throw new WeightsError(
    'Quantization',
    `${below.name}: "${key}" of a quantized tensor is ${wanted}; got ${dtype} [${shape.join(', ')}]; write it anew`,
  );
}

function checkParts(below: Checkpoint, key: string, quantization: Quantization): void {
  const { bits, groupSize, shapes } = quantization;
  const { rows, padded } = rowsOf(shapes[key], quantization);
  const { codes, scales, biases } = partsOf(key);
  checkPart(below, codes, (padded * bits) / 32, true, rows);
  checkPart(below, scales, padded / groupSize, false, rows);
  checkPart(below, biases, padded / groupSize, false, rows);
}

/** A checkpoint's tensors with the quantized ones among them as float32: they are expanded as they are read. `texts` are what its files say
 * of them, by default its own metadata. Closing it closes the one below.
 * @throws WeightsError `Quantization` when it does not hold what they say; `TensorNotFound` */
export function quantizedCheckpoint(below: Checkpoint, texts = [below.metadata[QUANTIZATION] ?? '']): Checkpoint {
  const said = texts.map((text) => parseQuantization(below.name, text));
  const quantization = mergeQuantization(below.name, said);
  const { bits, shapes } = quantization;
  const infos = new Map<string, TensorInfo>();
  const hidden = new Set<string>();
  for (const key of Object.keys(shapes)) {
    checkParts(below, key, quantization);
    const { scales, biases } = partsOf(key);
    hidden.add(scales).add(biases);
    infos.set(key, { dtype: 'F32', shape: shapes[key] });
  }
  const keys = below.keys().filter((key) => !hidden.has(key));
  const has = (key: string): boolean => below.has(key) && !hidden.has(key);
  const checked = (key: string): string => {
    if (has(key)) return key;
    throw tensorNotFound(below.name, key, keys);
  };
  const { [QUANTIZATION]: _, ...metadata } = below.metadata;
  return {
    ...below,
    metadata,
    format: `${below.format}, ${bits} bits`,
    keys: () => [...keys],
    has,
    info: (key) => infos.get(checked(key)) ?? below.info(key),
    storedBytes(key) {
      const own = (part: string): number => {
        const { dtype, shape } = below.info(part);
        return byteLengthOf(dtype, shape);
      };
      if (!infos.has(checked(key))) return own(key);
      const { codes, scales, biases } = partsOf(key);
      return own(codes) + own(scales) + own(biases);
    },
    async read(key, options) {
      const info = infos.get(checked(key));
      if (info === undefined) return below.read(key, options);
      const parts = partsOf(key);
      const [{ data }, scales, biases] = await Promise.all([
        below.read(parts.codes, options),
        readFloat32(below, parts.scales, options),
        readFloat32(below, parts.biases, options),
      ]);
      const codes = data as Uint32Array<ArrayBuffer>;
      const values = dequantizeAffine({ codes, scales, biases }, quantization);
      return { ...info, data: cutRows(values, info.shape, quantization) };
    },
    readPart: undefined,
    async readQuantized(key, options) {
      if (!infos.has(checked(key))) return undefined;
      const parts = partsOf(key);
      if ([parts.scales, parts.biases].some((part) => below.info(part).dtype !== 'F16')) return undefined;
      const [codes, scales, biases] = await Promise.all(
        [parts.codes, parts.scales, parts.biases].map(async (part) => (await below.read(part, options)).data),
      );
      const { groupSize } = quantization;
      return { bits, groupSize, codes, scales, biases } as QuantizedData;
    },
  };
}
