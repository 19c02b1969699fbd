import { type WebGPUBackend, webgpu_util } from '@tensorflow/tfjs-backend-webgpu';
import type { WebGPUProgram } from '@tensorflow/tfjs-backend-webgpu/dist/webgpu_program.d.ts';
import {
  engine,
  fill,
  getKernel,
  type KernelConfig,
  registerKernel,
  reshape,
  slice,
  type Tensor,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';

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

/** A thread for each of `threads` places of the output, or of whatever `code` makes of its index. */
class Program implements WebGPUProgram {
  readonly variableNames: string[];
  readonly outputShape: number[];
  readonly shaderKey: string;
  readonly dispatchLayout: { x: number[] };
  readonly dispatch: [number, number, number];
  readonly workgroupSize: [number, number, number] = [64, 1, 1];
  readonly uniforms = 'threads : i32,';
  readonly #code: string;

  constructor(name: string, variables: string[], shape: number[], threads: number, code: string) {
    this.variableNames = variables;
    this.outputShape = shape;
    this.shaderKey = `rass_${name}`;
    this.dispatchLayout = webgpu_util.flatDispatchLayout([threads]);
    this.dispatch = webgpu_util.computeDispatch(this.dispatchLayout, [threads], this.workgroupSize);
    this.#code = code;
  }

  getUserCode(): string {
    return `
      fn main(index : i32) {
        if (index >= uniforms.threads) { return; }
        ${this.#code}
      }`;
  }
}

const VARIABLES = ['value', 'sizes', 'locations', 'weights'];

/** Channels that a thread takes: their points are worked out once. */
const channelsOf = (channels: number): number => (channels % 4 === 0 ? 4 : 1);

const forwardCode = (width: number): string => `${sizesBy('valueShape')}
  let groups = K / ${width}; let k = (index % groups) * ${width}; let row = index / groups;
  let base = (row / (L * N)) * S * N * K + (row % N) * K + k;
  var total : array<f32, ${width}>;
  ${forPoints(`
    let weight = weights[row * P + p];
    ${forCorners(`
      let at = base + pixel * N * K; let share = weight * ofX * ofY;
      for (var c = 0; c < ${width}; c++) { total[c] += share * value[at + c]; }`)}`)}
  for (var c = 0; c < ${width}; c++) { result[row * K + k + c] = total[c]; }`;

/** Queries for which a channel gets another thread, as long as the maps of all threads fit in SUMS values. */
const QUERIES_PER_PART = 256;
const SUMS = 1 << 24;

/** Points share the value's pixels and WGSL adds no floats atomically: a thread alone adds a part of the queries into maps of its own, in
 * their order, and so the result is the same each time. The output is [parts B, S, N, K]. */
const valueGradientCode = (width: number): string => `${sizesBy('outShape')}
  let B = uniforms.weightsShape.x; let parts = uniforms.outShape.x / B;
  let groups = K / ${width}; let k = (index % groups) * ${width}; let map = index / groups;
  let head = map % N; let image = (map / N) % B; let part = map / (N * B);
  let base = (part * B + image) * S * N * K + head * K + k;
  for (var query = L * part / parts; query < L * (part + 1) / parts; query++) {
    let row = (image * L + query) * N + head;
    ${forPoints(`
      let weight = weights[row * P + p];
      ${forCorners(`
        let at = base + pixel * N * K; let share = weight * ofX * ofY;
        for (var c = 0; c < ${width}; c++) { result[at + c] += share * dout[row * K + k + c]; }`)}`)}
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

type Inputs = Record<string, TensorInfo>;
interface Call {
  readonly inputs: Inputs;
  readonly backend: WebGPUBackend;
}

const run = ({ inputs, backend }: Call, program: Program, threads: number, output?: TensorInfo): TensorInfo =>
  backend.runWebGPUProgram(
    program,
    program.variableNames.map((name) => inputs[name === 'dout' ? 'dy' : name]),
    'float32',
    [{ type: 'int32', data: [threads] }],
    output,
  );

function forward(call: Call): TensorInfo {
  const { value, weights } = call.inputs;
  const [batch, , heads, channels] = value.shape;
  const shape = [batch, weights.shape[1], heads * channels];
  const width = channelsOf(channels);
  const threads = util.sizeFromShape(shape) / width;
  return run(call, new Program(`deformable_${width}`, VARIABLES, shape, threads, forwardCode(width)), threads);
}

/** One part of the last axis. */
function component(both: Tensor, from: number, shape: number[]): Tensor {
  const begin = [...both.shape.slice(0, -1).map(() => 0), from];
  const size = [...both.shape.slice(0, -1), shape.length === both.rank ? 2 : 1];
  return reshape(slice(both, begin, size), shape);
}

function valueGradient({ inputs, backend }: Call): TensorInfo {
  const { shape } = inputs.value;
  const [batch, , heads, channels] = shape;
  const size = util.sizeFromShape(shape);
  const queries = inputs.weights.shape[1];
  const parts = Math.max(1, Math.min(Math.ceil(queries / QUERIES_PER_PART), Math.floor(SUMS / size)));
  const width = channelsOf(channels);
  const threads = (parts * batch * heads * channels) / width;
  const all = [parts * batch, ...shape.slice(1)];
  const variables = ['sizes', 'locations', 'weights', 'dout'];
  const program = new Program(`deformable_value_${width}`, variables, all, threads, valueGradientCode(width));
  const maps = fill(all as [number], 0);
  const sums = run({ inputs, backend }, program, threads, maps);
  if (parts === 1) return sums;
  const joined = new Program('deformable_parts', ['sums'], shape, size, PARTS_SUM);
  const dvalue = run({ inputs: { sums: { ...sums, shape: [parts, size] } }, backend }, joined, size);
  maps.dispose();
  return dvalue;
}

function backward(call: Call): TensorInfo[] {
  const { locations, weights } = call.inputs;
  const dvalue = valueGradient(call);
  const points = util.sizeFromShape(weights.shape);
  const variables = [...VARIABLES, 'dout'];
  const ofPoints = new Program('deformable_points', variables, [...weights.shape, 3], points, POINT_GRADIENTS);
  const both = engine().makeTensorFromTensorInfo(run(call, ofPoints, points));
  const [dweights, dlocations] = [component(both, 0, weights.shape), component(both, 1, locations.shape)];
  both.dispose();
  return [dvalue, dlocations, dweights];
}

/** Gives the backend its own deformable attention. Idempotent. */
export function registerDeformableAttention(backendName: string): void {
  const kernels = { RassDeformableAttention: forward, RassDeformableAttentionGrad: backward };
  for (const [kernelName, kernelFunc] of Object.entries(kernels)) {
    if (getKernel(kernelName, backendName) !== undefined) continue;
    registerKernel({ kernelName, backendName, kernelFunc: kernelFunc as unknown as KernelConfig['kernelFunc'] });
  }
}
