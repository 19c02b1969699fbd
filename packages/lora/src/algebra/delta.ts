import { scaleFor } from '../product.ts';
import type { DiffUpdate, HostTensor, LayerUpdate, LohaUpdate, LokrUpdate, LoraUpdate } from '../state.ts';
import { checkDoraRule, type DoraRule, doraTerms, shareInLengths } from './dora.ts';
import { multiplyInto } from './matrix.ts';

type Shape = readonly number[];

const sizeOf = (shape: Shape): number => shape.reduce((a, b) => a * b, 1);

function refuse(what: string, got: string): never {
  throw new Error(`lora: ${what}; got ${got}; the adapter is of another model, or damaged`);
}

const text = ({ shape }: HostTensor): string => `[${shape.join(', ')}]`;

/** [rows, inner] by [inner, ...]. */
function times(a: HostTensor, b: HostTensor): HostTensor {
  const [rows, inner] = a.shape;
  if (b.shape[0] !== inner) refuse('factors have the same rank', `${text(a)} and ${text(b)}`);
  const columns = sizeOf(b.shape.slice(1));
  const data = new Float32Array(rows * columns);
  multiplyInto(data, a.data, b.data, [rows, inner, columns]);
  return { shape: [rows, ...b.shape.slice(1)], data };
}

/** A matrix the other way round. */
export function transposed({ shape, data }: HostTensor): HostTensor {
  const [rows, columns] = shape;
  const out = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = data[i * columns + j];
  return { shape: [columns, rows], data: out };
}

/** Axes of a core [A, B, Kh, Kw] swapped to [B, A, Kh, Kw]. */
function swapped({ shape, data }: HostTensor): HostTensor {
  const [first, second, ...kernel] = shape;
  const places = sizeOf(kernel);
  const out = new Float32Array(data.length);
  for (let i = 0; i < first; i++) {
    for (let j = 0; j < second; j++) {
      const from = (i * second + j) * places;
      out.set(data.subarray(from, from + places), (j * first + i) * places);
    }
  }
  return { shape: [second, first, ...kernel], data: out };
}

const flat = ({ shape, data }: HostTensor): HostTensor => ({ shape: [shape[0], sizeOf(shape.slice(1))], data });

/** out[o, i, ...] = sum over p, q of left[o, p] core[p, q, ...] right[q, i]: Tucker's decomposition of a convolution. */
function tucker(left: HostTensor, core: HostTensor, right: HostTensor): HostTensor {
  const outer = times(left, core);
  return swapped(times(transposed(right), swapped(outer)));
}

function loraProduct({ down, up, mid, embedding }: LoraUpdate): HostTensor {
  const left = flat(up);
  if (mid !== undefined) return tucker(left, mid, flat(down));
  const product = times(left, down);
  return embedding ? transposed(product) : product;
}

/** One of LoHa's two factors. With a core: sum over p, q of core[p, q, ...] a[p, o] b[q, i]. */
function lohaFactor({ a, b, t }: LohaUpdate['w1']): HostTensor {
  return t === undefined ? times(a, b) : tucker(transposed(a), t, b);
}

function lohaProduct({ w1, w2 }: LohaUpdate): HostTensor {
  const [first, second] = [lohaFactor(w1), lohaFactor(w2)];
  if (first.data.length !== second.data.length)
    refuse('the factors of LoHa have one size', `${text(first)} and ${text(second)}`);
  return { shape: first.shape, data: first.data.map((value, i) => value * second.data[i]) };
}

function lokrFactor(factor: LokrUpdate['w1'] | LokrUpdate['w2']): HostTensor {
  if ('data' in factor) return factor;
  const { a, b } = factor;
  return 't' in factor && factor.t !== undefined ? tucker(transposed(a), factor.t, b) : times(a, b);
}

/** Every element of w1 times the whole of w2. [A, B] and [C, D, ...] -> [A C, B D, ...] */
function kronecker(w1: HostTensor, w2: HostTensor): HostTensor {
  const [rows, columns] = w1.shape;
  const [outputs, inputs, ...kernel] = w2.shape;
  const places = sizeOf(kernel);
  const data = new Float32Array(w1.data.length * w2.data.length);
  for (let a = 0; a < rows; a++) {
    for (let c = 0; c < outputs; c++) {
      for (let b = 0; b < columns; b++) {
        const factor = w1.data[a * columns + b];
        const from = c * inputs * places;
        const to = ((a * outputs + c) * columns + b) * inputs * places;
        for (let i = 0; i < inputs * places; i++) data[to + i] = factor * w2.data[from + i];
      }
    }
  }
  return { shape: [rows * outputs, columns * inputs, ...kernel], data };
}

/** How many ranks the scale divides by. LoKr without a product is not scaled. */
function rankOf(update: LayerUpdate): number | undefined {
  if (update.kind === 'lora') return update.down.shape[0];
  if (update.kind === 'loha') return update.w1.b.shape[0];
  if (update.kind === 'diff') return undefined;
  const product = [update.w2, update.w1].find((factor) => !('data' in factor));
  return product === undefined || 'data' in product ? undefined : product.b.shape[0];
}

/** What an update's product is multiplied by. @source peft LoraLayer.scaling; LyCORIS */
export function scaleOf(update: LayerUpdate, rsLora = false): number {
  const rank = rankOf(update);
  return rank === undefined || update.kind === 'diff' ? 1 : scaleFor(update.alpha, rank, rsLora);
}

function productOf(update: LayerUpdate): HostTensor {
  if (update.kind === 'lora') return loraProduct(update);
  if (update.kind === 'loha') return lohaProduct(update);
  if (update.kind === 'lokr') return kronecker(lokrFactor(update.w1), lokrFactor(update.w2));
  return update.weight;
}

/** What an adapter's update adds to a weight, its scale included, in the checkpoint's layout. DoRA's lengths are no part of it: see
 * updatedWeight. @shape weight [O, I] or [O, I, Kh, Kw], an embedding's [V, C] -> the same number of values, row-major
 * @throws when the factors do not fit each other or the weight */
export function updateDelta(update: LayerUpdate, weightShape: Shape, rsLora = false): Float32Array<ArrayBuffer> {
  const product = productOf(update);
  const rows = update.kind === 'lora' && update.embedding ? weightShape[0] : product.shape[0];
  if (product.data.length !== sizeOf(weightShape) || rows !== weightShape[0]) {
    refuse(`an update has its weight's size, [${weightShape.join(', ')}]`, `${update.kind} ${text(product)}`);
  }
  const scale = scaleOf(update, rsLora);
  const data = product.data as Float32Array<ArrayBuffer>;
  if (update.kind === 'diff') return data.slice();
  if (scale !== 1) for (let i = 0; i < data.length; i++) data[i] *= scale;
  return data;
}

/** What an adapter's update adds to the layer's bias, its scale included; undefined for most. [O] */
export function biasDelta(update: LayerUpdate, rsLora = false): HostTensor | undefined {
  if (update.kind === 'diff') return update.bias;
  if (update.kind !== 'lora' || update.upBias === undefined) return undefined;
  const scale = scaleOf(update, rsLora);
  return { ...update.upBias, data: update.upBias.data.map((value) => scale * value) };
}

/** How a weight's values belong to the places of the axis that has DoRA's lengths. @shape weight [before, count, after] */
interface Places {
  readonly count: number;
  readonly after: number;
}

const placeOf = (i: number, { count, after }: Places): number => Math.floor(i / after) % count;

/** The lengths of weight + share * difference, for each place. */
function lengthsOf(weight: Float32Array, difference: Float32Array, share: number, places: Places): Float64Array {
  const squares = new Float64Array(places.count);
  for (let i = 0; i < weight.length; i++) squares[placeOf(i, places)] += (weight[i] + share * difference[i]) ** 2;
  return squares.map(Math.sqrt);
}

export interface UpdatedWeightOptions {
  /** By which rule DoRA is scaled where the strength is not 1; default `peft`. */
  readonly dora?: DoraRule;
  /** The weight without the adapters that are in it already: DoRA's lengths are of this one, whatever was folded in before. */
  readonly base?: HostTensor;
}

/** Where DoRA's lengths stand. An embedding's outputs are the columns of its table. @throws when they are not one for each place */
function lengthAxis(update: Exclude<LayerUpdate, DiffUpdate>, lengths: HostTensor, shape: Shape): 0 | 1 {
  const ofOutputs = update.magnitudeAxis !== 'inputs';
  const axis = (update.kind === 'lora' && update.embedding === true) === ofOutputs ? 1 : 0;
  if (lengths.data.length === shape[axis]) return axis;
  const what = ofOutputs ? 'outputs' : 'inputs';
  return refuse(`DoRA has a length for each of ${shape[axis]} ${what}`, text(lengths));
}

/** A weight with an adapter's update in it. `strength` multiplies what the update adds, 0 leaves the weight as it is; weights with DoRA's
 * lengths follow the rule that is chosen. Several adapters are folded in one after the other, as PEFT does, with one `base`.
 * @throws like updateDelta, or when DoRA's lengths are not one for each output @source peft get_delta_weight, DoraLinearVariant */
export function updatedWeight(
  update: LayerUpdate,
  weight: HostTensor,
  rsLora = false,
  strength = 1,
  { dora = 'peft', base = weight }: UpdatedWeightOptions = {},
): Float32Array<ArrayBuffer> {
  checkDoraRule(dora);
  const values = updateDelta(update, weight.shape, rsLora);
  if (update.kind === 'diff' || update.magnitude === undefined) {
    for (let i = 0; i < values.length; i++) values[i] = weight.data[i] + strength * values[i];
    return values;
  }
  const axis = lengthAxis(update, update.magnitude, weight.shape);
  if (strength === 0) return weight.data.slice();
  const { data: lengths } = update.magnitude;
  const count = lengths.length;
  const places: Places = { count, after: values.length / (axis === 0 ? count : weight.shape[0] * count) };
  const share = shareInLengths(dora, strength, update.magnitudeAxis !== 'inputs');
  const norms = lengthsOf(base.data, values, share, places);
  const terms = doraTerms(dora, strength);
  const factors = ({ of, plus }: { of: number; plus: number }) =>
    norms.map((norm, place) => of * (lengths[place] / norm) + plus);
  const [own, added] = [factors(terms.base), factors(terms.difference)];
  for (let i = 0; i < values.length; i++) {
    const place = placeOf(i, places);
    values[i] = own[place] * weight.data[i] + added[place] * values[i];
  }
  return values;
}

type Factor = LohaUpdate['w1'] | LokrUpdate['w1'] | LokrUpdate['w2'];

/** The shape of one factor of LoHa or LoKr. */
function factorShape(factor: Factor): number[] {
  if ('data' in factor) return [...factor.shape];
  const { a, b } = factor;
  if ('t' in factor && factor.t !== undefined) return [a.shape[1], b.shape[1], ...factor.t.shape.slice(2)];
  return [a.shape[0], ...b.shape.slice(1)];
}

/** The shape of the weight as far as an update's own tensors tell it: a kernel that LoHa or LoKr has flattened into the inputs is
 * not seen. */
export function updateShape(update: LayerUpdate): number[] {
  if (update.kind === 'diff') return [...update.weight.shape];
  if (update.kind === 'loha') return factorShape(update.w1);
  if (update.kind === 'lokr') {
    const [[rows, columns], [outputs, inputs, ...kernel]] = [factorShape(update.w1), factorShape(update.w2)];
    return [rows * outputs, columns * inputs, ...kernel];
  }
  const { down, up, mid, embedding } = update;
  if (embedding) return [down.shape[1], up.shape[0]];
  return [up.shape[0], down.shape[1], ...(mid ?? down).shape.slice(2)];
}
