import { engine, fill, reshape, slice, type Tensor, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { type Call, type Components, runFlat, typeOf, vectorOf } from './program.ts';

/** The sizes of everything, by the shape of the value or of its gradient. A row is a query's head. */
const sizesBy = (shape: 'valueShape' | 'outShape'): string => `
  let S = uniforms.${shape}.y; let N = uniforms.${shape}.z; let K = uniforms.${shape}.w;
  let L = uniforms.weightsShape.y; let P = uniforms.weightsShape.w;
  let perLevel = P / uniforms.sizesShape.x;`;

/** For point `p` of `row` on `level`, whose pixels begin at `start`: the place in pixels. */
const PLACE = `
  let height = sizes[2 * level]; let width = sizes[2 * level + 1];
  let x = locations[2 * (row * P + p)] * width - 0.5;
  let y = locations[2 * (row * P + p) + 1] * height - 0.5;
  let left = floor(x); let top = floor(y);
  let right = x - left; let below = y - top;
  let isNear = x > -1.0 && y > -1.0 && x < width && y < height;`;

/** Runs `body` for each of the point's corners inside of the map: its number is `pixel`, its shares `ofX`, `ofY`. */
const forCorners = (body: string): string => `
  for (var corner = 0; corner < 4; corner++) {
    let dx = corner & 1; let dy = corner >> 1u;
    let column = left + f32(dx); let line = top + f32(dy);
    if (!isNear || column < 0.0 || line < 0.0 || column >= width || line >= height) { continue; }
    let ofX = select(1.0 - right, right, dx == 1); let ofY = select(1.0 - below, below, dy == 1);
    let pixel = start + i32(line) * i32(width) + i32(column);
    ${body}
  }`;

/** Runs `body` for each point of a row. */
const forPoints = (body: string): string => `
  var start = 0;
  for (var level = 0; level < uniforms.sizesShape.x; level++) {
    for (var i = 0; i < perLevel; i++) {
      let p = level * perLevel + i;
      ${PLACE}
      ${body}
    }
    start += i32(sizes[2 * level]) * i32(sizes[2 * level + 1]);
  }`;

const VARIABLES = ['value', 'sizes', 'locations', 'weights'];

const forwardCode = (vector: Components): string => `${sizesBy('valueShape')}
  let V = K / ${vector}; let k = index % V; let row = index / V;
  let base = (row / (L * N)) * S * N * V + (row % N) * V + k;
  var total = ${typeOf(vector)}(0.0);
  ${forPoints(`
    let weight = weights[row * P + p];
    ${forCorners('total += weight * ofX * ofY * value[base + pixel * N * V];')}`)}
  result[row * V + k] = total;`;

/** Queries for which a channel gets another thread, as long as the maps of all threads fit in SUMS values. */
const QUERIES_PER_PART = 256;
const SUMS = 1 << 24;

/** Points share the value's pixels and WGSL adds no floats atomically: a thread alone adds a part of the queries into maps of its own, in
 * their order, and so the result is the same each time. The output is [parts B, S, N, K]. */
const valueGradientCode = (vector: Components): string => `${sizesBy('outShape')}
  let B = uniforms.weightsShape.x; let parts = uniforms.outShape.x / B;
  let V = K / ${vector}; let k = index % V; let map = index / V;
  let head = map % N; let image = (map / N) % B; let part = map / (N * B);
  let base = (part * B + image) * S * N * V + head * V + k;
  for (var query = L * part / parts; query < L * (part + 1) / parts; query++) {
    let row = (image * L + query) * N + head;
    let slope = dout[row * V + k];
    ${forPoints(`
      let weight = weights[row * P + p];
      ${forCorners('result[base + pixel * N * V] += weight * ofX * ofY * slope;')}`)}
  }`;

/** The sum over the parts, in their order. */
const PARTS_SUM = `
  let parts = uniforms.sumsShape.x;
  var total = 0.0;
  for (var part = 0; part < parts; part++) { total += sums[part * uniforms.threads + index]; }
  result[index] = total;`;

/** Of each point the gradients by its weight and by its x and y. */
const POINT_GRADIENTS = `${sizesBy('valueShape')}
  let p = index % P; let row = index / P;
  let base = (row / (L * N)) * S * N * K + (row % N) * K;
  let level = p / perLevel;
  var start = 0;
  for (var before = 0; before < level; before++) { start += i32(sizes[2 * before]) * i32(sizes[2 * before + 1]); }
  ${PLACE}
  var byWeight = 0.0; var byX = 0.0; var byY = 0.0;
  ${forCorners(`
    var along = 0.0;
    for (var k = 0; k < K; k++) { along += value[base + pixel * N * K + k] * dout[row * K + k]; }
    byWeight += ofX * ofY * along;
    byX += select(-ofY, ofY, dx == 1) * along;
    byY += select(-ofX, ofX, dy == 1) * along;`)}
  result[3 * index] = byWeight;
  result[3 * index + 1] = byX * width * weights[index];
  result[3 * index + 2] = byY * height * weights[index];`;

type Inputs = Readonly<Record<'value' | 'locations' | 'weights', TensorInfo>>;
type Sizes = [batch: number, pixels: number, heads: number, channels: number];

/** The inputs that are read by vectors of channels. */
const OF_CHANNELS: ReadonlySet<string> = new Set(['value', 'dout']);

/** A thread for each of so many values of the output, or of whatever the code makes of its index. */
interface Part {
  readonly name: string;
  /** Channels that a thread takes: their points are worked out once. */
  readonly vector?: Components;
  readonly variables: readonly string[];
  readonly shape: readonly number[];
  readonly threads: number;
  readonly code: string;
}

const run = ({ inputs, backend }: Pick<Call, 'inputs' | 'backend'>, part: Part, output?: TensorInfo): TensorInfo => {
  const { vector = 1 } = part;
  return runFlat(
    { inputs: { ...inputs, ...(inputs['dy'] && { dout: inputs['dy'] }) }, backend },
    {
      key: part.name,
      inputs: Object.fromEntries(part.variables.map((name) => [name, OF_CHANNELS.has(name) ? vector : 1])),
      shape: part.shape,
      output: vector,
      threads: part.threads,
      main: part.code,
    },
    output,
  );
};

function forward(call: Call): TensorInfo {
  const { value, weights } = call.inputs as Inputs;
  const [batch, , heads, channels] = value.shape as Sizes;
  const shape = [batch, weights.shape[1]!, heads * channels];
  const vector = vectorOf(channels);
  const threads = util.sizeFromShape(shape) / vector;
  const name = `deformable_${vector}`;
  return run(call, { name, vector, variables: VARIABLES, shape, threads, code: forwardCode(vector) });
}

/** One part of the last axis. */
function component(both: Tensor, from: number, shape: number[]): Tensor {
  const begin = [...both.shape.slice(0, -1).map(() => 0), from];
  const size = [...both.shape.slice(0, -1), shape.length === both.rank ? 2 : 1];
  return reshape(slice(both, begin, size), shape);
}

function valueGradient(call: Call): TensorInfo {
  const { value, weights } = call.inputs as Inputs;
  const { shape } = value;
  const [batch, , heads, channels] = shape as Sizes;
  const size = util.sizeFromShape(shape);
  const parts = Math.max(1, Math.min(Math.ceil(weights.shape[1]! / QUERIES_PER_PART), Math.floor(SUMS / size)));
  const vector = vectorOf(channels);
  const all = [parts * batch, ...shape.slice(1)];
  const maps = fill(all as [number], 0);
  const variables = ['sizes', 'locations', 'weights', 'dout'];
  const threads = (parts * batch * heads * channels) / vector;
  const name = `deformable_value_${vector}`;
  const sums = run(call, { name, vector, variables, shape: all, threads, code: valueGradientCode(vector) }, maps);
  if (parts === 1) return sums;
  const inputs = { sums: { ...sums, shape: [parts, size] } };
  const joined: Part = { name: 'deformable_parts', variables: ['sums'], shape, threads: size, code: PARTS_SUM };
  const dvalue = run({ inputs, backend: call.backend }, joined);
  maps.dispose();
  return dvalue;
}

function backward(call: Call): TensorInfo[] {
  const { locations, weights } = call.inputs as Inputs;
  const dvalue = valueGradient(call);
  const threads = util.sizeFromShape(weights.shape);
  const variables = [...VARIABLES, 'dout'];
  const shape = [...weights.shape, 3];
  const points = run(call, { name: 'deformable_points', variables, shape, threads, code: POINT_GRADIENTS });
  const both = engine().makeTensorFromTensorInfo(points);
  const [dweights, dlocations] = [component(both, 0, weights.shape), component(both, 1, locations.shape)];
  both.dispose();
  return [dvalue, dlocations, dweights];
}

export const deformableAttention = { RassDeformableAttention: forward, RassDeformableAttentionGrad: backward };
