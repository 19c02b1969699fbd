import { type TensorInfo, util } from '@tensorflow/tfjs-core';
import { type Call, type Components, folded, runFlat, runProgram, THREADS, typeOf, vectorOf } from './program.ts';

/** Values that a thread of the first pass takes at least, and threads that are enough for any GPU. */
const [LEAST_VALUES, ENOUGH_THREADS] = [16, 16_384];

const total = (components: Components, value: string): string =>
  components === 4 ? `dot(${value}, vec4<f32>(1.0))` : value;

/** Sums a value of each thread over the workgroup, in an order that is always the same. */
const SHARED_SUM = `
var<workgroup> sums: array<f32, ${THREADS}>;
fn sumOfAll(value: f32) -> f32 {
  workgroupBarrier();
  sums[localIndex] = value;
  workgroupBarrier();
  for (var half = ${THREADS / 2}u; half > 0u; half >>= 1u) {
    if (localIndex < half) { sums[localIndex] += sums[localIndex + half]; }
    workgroupBarrier();
  }
  return sums[0];
}`;

/** Each channel's mean, and its sum of squares around that mean, over a part of the pixels. Squares are taken around the part's first value:
 * around zero they would cancel where values lie far from it. */
const MOMENTS = (components: Components): string => `
  let channel = i32(globalId.x); let part = i32(globalId.y); let image = i32(globalId.z);
  if (channel >= uniforms.channels) { return; }
  let begin = part * uniforms.perPart;
  let end = min(begin + uniforms.perPart, uniforms.pixels);
  let base = image * uniforms.pixels * uniforms.channels + channel;
  let origin = x[base + begin * uniforms.channels];
  var sum = ${typeOf(components)}(0.0);
  var squares = ${typeOf(components)}(0.0);
  for (var pixel = begin; pixel < end; pixel++) {
    let value = x[base + pixel * uniforms.channels] - origin;
    sum += value;
    squares += value * value;
  }
  let count = f32(end - begin);
  let at = 2 * (image * uniforms.parts + part) * uniforms.channels + channel;
  result[at] = origin + sum / count;
  result[at + uniforms.channels] = max(squares - sum * sum / count, ${typeOf(components)}(0.0));`;

/** A workgroup joins the parts and channels of a group, and writes for each channel what is taken off and what it is multiplied by. */
const STATISTICS = `
  let group = i32(workgroupId.x); let image = i32(workgroupId.y);
  let width = uniforms.width; let channels = uniforms.channels;
  let entries = uniforms.parts * width;
  let all = f32(uniforms.pixels * width);
  var weighted = 0.0;
  for (var i = i32(localIndex); i < entries; i += ${THREADS}) {
    let part = i / width;
    let count = f32(min(uniforms.perPart, uniforms.pixels - part * uniforms.perPart));
    weighted += count / all * moments[2 * (image * uniforms.parts + part) * channels + group * width + i % width];
  }
  let mean = sumOfAll(weighted);
  var spread = 0.0;
  for (var i = i32(localIndex); i < entries; i += ${THREADS}) {
    let part = i / width;
    let count = f32(min(uniforms.perPart, uniforms.pixels - part * uniforms.perPart));
    let at = 2 * (image * uniforms.parts + part) * channels + group * width + i % width;
    let away = moments[at] - mean;
    spread += moments[at + channels] + count * away * away;
  }
  let scale = inverseSqrt(sumOfAll(spread) / all + uniforms.epsilon);
  for (var i = i32(localIndex); i < width; i += ${THREADS}) {
    let channel = group * width + i;
    result[2 * image * channels + channel] = mean;
    result[(2 * image + 1) * channels + channel] = scale * weight[channel];
  }`;

const APPLY = (components: Components, silu: boolean): string => `
  let channel = index % uniforms.channels;
  let at = 2 * (index / (uniforms.pixels * uniforms.channels)) * uniforms.channels + channel;
  let value = (x[index] - affine[at]) * affine[at + uniforms.channels] + bias[channel];
  result[index] = ${silu ? `value / (${typeOf(components)}(1.0) + exp(-value))` : 'value'};`;

interface GroupNormAttributes {
  readonly groups: number;
  readonly epsilon: number;
  readonly silu: boolean;
}

/** Three passes: the channels' moments by parts of the image, the groups' statistics from them, and the result. */
export function groupNorm({ inputs, attrs, backend }: Call<GroupNormAttributes>): TensorInfo {
  const { x, weight, bias } = inputs as Record<'x' | 'weight' | 'bias', TensorInfo>;
  const { groups, epsilon, silu } = attrs;
  const [images, all] = [x.shape[0]!, x.shape.at(-1)!];
  const pixels = util.sizeFromShape(x.shape.slice(1, -1));
  const components = vectorOf(all);
  const channels = all / components;
  const wanted = Math.max(
    1,
    Math.min(Math.ceil(ENOUGH_THREADS / (images * channels)), Math.ceil(pixels / LEAST_VALUES)),
  );
  const perPart = Math.ceil(pixels / wanted);
  const parts = Math.ceil(pixels / perPart);
  const flat = { ...x, shape: [images, pixels, all] };
  const wide = Math.min(THREADS, 2 ** Math.ceil(Math.log2(channels)));
  const moments = runProgram(
    { inputs: { x: flat }, backend },
    {
      key: `group_norm_moments_${components}_${wide}`,
      inputs: { x: components },
      shape: [images, parts, 2, all],
      output: components,
      workgroup: [wide, THREADS / wide, 1],
      groups: [Math.ceil(channels / wide), Math.ceil(parts / (THREADS / wide)), images],
      numbers: { channels, pixels, parts, perPart },
      main: `if (i32(globalId.y) >= uniforms.parts) { return; }${MOMENTS(components)}`,
    },
  );
  const affine = runProgram(
    { inputs: { moments, weight }, backend },
    {
      key: 'group_norm_statistics',
      inputs: { moments: 1, weight: 1 },
      shape: [images, 2, all],
      workgroup: [THREADS, 1, 1],
      groups: [groups, images, 1],
      numbers: { channels: all, width: all / groups, pixels, parts, perPart },
      fractions: { epsilon },
      declarations: SHARED_SUM,
      main: STATISTICS,
    },
  );
  const y = runFlat(
    { inputs: { x: flat, affine, bias }, backend },
    {
      key: `group_norm_apply_${components}_${silu}`,
      inputs: { x: components, affine: components, bias: components },
      shape: flat.shape,
      output: components,
      threads: images * pixels * channels,
      numbers: { channels, pixels },
      main: APPLY(components, silu),
    },
  );
  for (const { dataId } of [moments, affine]) backend.disposeData(dataId);
  return { ...y, shape: x.shape };
}

/** Threads that share a row, and so the rows of a workgroup. */
const [PER_ROW, ROWS] = [8, THREADS / 8];

/** Sums a value of each thread over those that share its row. */
const ROW_SUM = `
var<workgroup> sums: array<f32, ${THREADS}>;
fn sumOfRow(value: f32) -> f32 {
  workgroupBarrier();
  sums[localIndex] = value;
  workgroupBarrier();
  let start = localIndex - localIndex % ${PER_ROW}u;
  var total = 0.0;
  for (var i = 0u; i < ${PER_ROW}u; i++) { total += sums[start + i]; }
  return total;
}`;

const LAYER_NORM = (components: Components): string => `
  let row = i32(workgroupId.y * numWorkgroups.x + workgroupId.x) * ${ROWS} + i32(localIndex) / ${PER_ROW};
  let own = i32(localIndex) % ${PER_ROW};
  let channels = select(0, uniforms.channels, row < uniforms.rows);
  let base = row * uniforms.channels;
  let all = f32(uniforms.channels * ${components});
  var sum = 0.0;
  for (var i = own; i < channels; i += ${PER_ROW}) { sum += ${total(components, 'x[base + i]')}; }
  let mean = sumOfRow(sum) / all;
  var squares = 0.0;
  for (var i = own; i < channels; i += ${PER_ROW}) {
    let away = x[base + i] - mean;
    squares += ${total(components, 'away * away')};
  }
  let scale = inverseSqrt(sumOfRow(squares) / all + uniforms.epsilon);
  for (var i = own; i < channels; i += ${PER_ROW}) {
    result[base + i] = (x[base + i] - mean) * scale * weight[i] + bias[i];
  }`;

export function layerNorm({ inputs, attrs, backend }: Call<{ readonly epsilon: number }>): TensorInfo {
  const { x } = inputs as { x: TensorInfo };
  const all = x.shape.at(-1)!;
  const components = vectorOf(all);
  const rows = util.sizeFromShape(x.shape) / all;
  const y = runProgram(
    { inputs: { ...inputs, x: { ...x, shape: [rows, all] } }, backend },
    {
      key: `layer_norm_${components}`,
      inputs: { x: components, weight: components, bias: components },
      shape: [rows, all],
      output: components,
      workgroup: [THREADS, 1, 1],
      groups: folded(rows * PER_ROW),
      numbers: { rows, channels: all / components },
      fractions: { epsilon: attrs.epsilon },
      declarations: ROW_SUM,
      main: LAYER_NORM(components),
    },
  );
  return { ...y, shape: x.shape };
}
