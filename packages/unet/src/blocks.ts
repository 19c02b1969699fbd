import { resize, upsampleNearest } from '@rass/kernels';
import { type Conv2d, conv2d, type ParamSource } from '@rass/nn';
import { concat, type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import type { BlockConfig, UnetConfig } from './config.ts';
import { type Pass, runPart, type Seen, tap } from './pass.ts';
import { type Resnet, resnet, resnetParams } from './resnet.ts';
import { type SpatialTransformer, spatialTransformer, spatialTransformerParams } from './transformer.ts';

/** Residual blocks, each followed by a spatial transformer where the block has attention. */
export interface Block {
  readonly path: string;
  readonly resnets: readonly Resnet[];
  readonly attentions: readonly SpatialTransformer[];
  /** The convolution of the downsampler or the upsampler; absent in the last block. */
  readonly resample?: Conv2d;
}

type Size = readonly [height: number, width: number];

function attentionsParams(from: ParamSource, block: BlockConfig, config: UnetConfig): SpatialTransformer[] {
  const { attention } = block;
  if (attention === undefined) return [];
  return attention.layers.map((depth, i) =>
    spatialTransformerParams(from.at('attentions').at(i), block.channels, depth, attention, config),
  );
}

/** `inputs` are the channels that each residual block takes. */
function blockParams(
  from: ParamSource,
  block: BlockConfig,
  inputs: readonly number[],
  config: UnetConfig,
  outputScale?: number,
): Block {
  return {
    path: from.path,
    resnets: inputs.map((width, i) =>
      resnetParams(from.at('resnets').at(i), width, block.channels, config, outputScale),
    ),
    attentions: attentionsParams(from, block, config),
  };
}

/** All blocks. Every part of the way down leaves its output for one residual block of the way up.
 * @source diffusers UNet2DConditionModel.__init__ */
export function blocksParams(
  from: ParamSource,
  config: UnetConfig,
): { downBlocks: Block[]; midBlock?: Block; upBlocks: Block[] } {
  const last = config.downBlocks.length - 1;
  let width = config.downBlocks[0].channels;
  const skips = [width];
  const downBlocks = config.downBlocks.map((block, i): Block => {
    const at = from.at('down_blocks').at(i);
    const { channels } = block;
    const inputs = Array.from({ length: block.resnets }, (_, j) => (j === 0 ? width : channels));
    width = channels;
    skips.push(...Array<number>(block.resnets + (i < last ? 1 : 0)).fill(channels));
    // Padding 0 stands for one row below and one column on the right.
    const padding = config.downsamplePadding || ([[0, 1], [0, 1]] as const); // biome-ignore format: two pairs
    const resample =
      i < last ? at.at('downsamplers.0.conv').conv2d(channels, channels, { stride: 2, padding }) : undefined;
    return { ...blockParams(at, block, inputs, config), resample };
  });
  const mid = config.midBlock;
  const midBlock =
    mid && blockParams(from.at('mid_block'), mid, Array(mid.resnets).fill(width), config, config.midBlockScale);
  const upBlocks = config.upBlocks.map((block, i): Block => {
    const at = from.at('up_blocks').at(i);
    const { channels } = block;
    const inputs = Array.from(
      { length: block.resnets },
      (_, j) => (j === 0 ? width : channels) + (skips.pop() as number),
    );
    width = channels;
    const resample = i < last ? at.at('upsamplers.0.conv').conv2d(channels, channels, { padding: 1 }) : undefined;
    return { ...blockParams(at, block, inputs, config), resample };
  });
  return { downBlocks, midBlock, upBlocks };
}

/** `inputs` go in side by side. */
function runResnet(p: Resnet, inputs: readonly Tensor4D[], pass: Pass): Seen<Tensor4D> {
  const { x } = runPart(pass, [pass.time, ...inputs], ([time, ...parts]) => {
    const joined = parts.length === 1 ? parts[0] : concat(parts, 3);
    return { x: resnet(p, joined as Tensor4D, time as Tensor2D), seen: {} };
  });
  return { x, seen: tap(pass, p.path, x) };
}

function runTransformer(p: SpatialTransformer | undefined, x_BHWC: Tensor4D, pass: Pass): Seen<Tensor4D> {
  if (p === undefined) return { x: x_BHWC, seen: {} };
  const inputs = [x_BHWC, pass.text, ...(pass.textBias ? [pass.textBias] : [])];
  const { x, seen } = runPart(pass, inputs, ([image, text, bias]) =>
    spatialTransformer(p, image as Tensor4D, { text: text as Tensor3D, bias: bias as Tensor4D }, pass.wanted),
  );
  return { x, seen: { ...seen, ...tap(pass, p.path, x) } };
}

/** @shape x [B, H, W, I] -> [B, ceil(H / 2), ceil(W / 2), C], skips in the order of the parts
 * @source diffusers CrossAttnDownBlock2D, DownBlock2D */
export function downBlock(p: Block, x_BHWI: Tensor4D, pass: Pass): Seen<Tensor4D> & { skips: Tensor4D[] } {
  return tidy(() => {
    let x = x_BHWI;
    let seen: Record<string, Tensor> = {};
    const skips: Tensor4D[] = [];
    p.resnets.forEach((layer, i) => {
      const first = runResnet(layer, [x], pass);
      const second = runTransformer(p.attentions[i], first.x, pass);
      x = second.x;
      seen = { ...seen, ...first.seen, ...second.seen };
      skips.push(x);
    });
    if (p.resample !== undefined) {
      x = conv2d(p.resample, x);
      seen = { ...seen, ...tap(pass, `${p.path}.downsamplers.0`, x) };
      skips.push(x);
    }
    return { x, seen: { ...seen, ...tap(pass, p.path, x) }, skips };
  });
}

/** @shape x [B, H, W, C] -> same @source diffusers UNetMidBlock2DCrossAttn, UNetMidBlock2D */
export function midBlock(p: Block, x_BHWC: Tensor4D, pass: Pass): Seen<Tensor4D> {
  return tidy(() => {
    let { x, seen } = runResnet(p.resnets[0], [x_BHWC], pass);
    p.resnets.slice(1).forEach((layer, i) => {
      const first = runTransformer(p.attentions[i], x, pass);
      const second = runResnet(layer, [first.x], pass);
      x = second.x;
      seen = { ...seen, ...first.seen, ...second.seen };
    });
    return { x, seen: { ...seen, ...tap(pass, p.path, x) } };
  });
}

function upsampled(x_BHWC: Tensor4D, [h, w]: Size): Tensor4D {
  const [, H, W] = x_BHWC.shape;
  return h === 2 * H && w === 2 * W ? upsampleNearest(x_BHWC) : resize(x_BHWC, [h, w], 'nearest');
}

/** `skips`: one for each residual block, in its order; `size`: what the upsampler makes.
 * @shape x [B, H, W, I] -> [B, h, w, C] @source diffusers CrossAttnUpBlock2D, UpBlock2D */
export function upBlock(
  p: Block,
  x_BHWI: Tensor4D,
  skips: readonly Tensor4D[],
  size: Size,
  pass: Pass,
): Seen<Tensor4D> {
  return tidy(() => {
    let x = x_BHWI;
    let seen: Record<string, Tensor> = {};
    p.resnets.forEach((layer, i) => {
      const first = runResnet(layer, [x, skips[i]], pass);
      const second = runTransformer(p.attentions[i], first.x, pass);
      x = second.x;
      seen = { ...seen, ...first.seen, ...second.seen };
    });
    if (p.resample !== undefined) {
      x = conv2d(p.resample, upsampled(x, size));
      seen = { ...seen, ...tap(pass, `${p.path}.upsamplers.0`, x) };
    }
    return { x, seen: { ...seen, ...tap(pass, p.path, x) } };
  });
}
