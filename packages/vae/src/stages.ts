import type { Conv2d, GroupNorm } from '@rass/nn';
import type { AttentionBlock, MidBlock, Resnet, VaeDecoder, VaeEncoder } from './params.ts';

export type Layer =
  | { readonly kind: 'conv'; readonly conv: Conv2d }
  | { readonly kind: 'resnet'; readonly resnet: Resnet }
  | { readonly kind: 'attention'; readonly block: AttentionBlock }
  /** Twice the size by repeating pixels, then a convolution. */
  | { readonly kind: 'upsample'; readonly conv: Conv2d }
  /** Norm, SiLU and the last convolution. */
  | { readonly kind: 'head'; readonly norm: GroupNorm; readonly conv: Conv2d };

/** One link of the chain that an encoder or a decoder is. */
export interface Stage {
  readonly layer: Layer;
  /** The modules whose output is this stage's output, in diffusers' spelling, innermost first. */
  readonly paths: readonly string[];
}

/** Rows and columns. */
export type Size = readonly [height: number, width: number];

function resnetStages(at: string, resnets: readonly Resnet[]): Stage[] {
  return resnets.map((resnet, i) => ({ layer: { kind: 'resnet', resnet }, paths: [`${at}.resnets.${i}`] }));
}

/** The last stage of a block is the block's output too. */
function closing(path: string, stages: Stage[]): Stage[] {
  return stages.map((stage, i) => (i === stages.length - 1 ? { ...stage, paths: [...stage.paths, path] } : stage));
}

function midStages(at: string, { resnets, attention }: MidBlock): Stage[] {
  const [first, second] = resnetStages(at, resnets);
  const between: Stage[] =
    attention === undefined ? [] : [{ layer: { kind: 'attention', block: attention }, paths: [`${at}.attentions.0`] }];
  return closing(at, [first, ...between, second]);
}

const convStage = (path: string, conv: Conv2d): Stage => ({ layer: { kind: 'conv', conv }, paths: [path] });

/** The chain from the image to the moments. @source diffusers Encoder.forward, AutoencoderKL._encode */
export function encoderStages({ encoder, quantConv }: VaeEncoder): Stage[] {
  const { convIn, downBlocks, midBlock, normOut, convOut } = encoder;
  const head: Stage = { layer: { kind: 'head', norm: normOut, conv: convOut }, paths: ['encoder.conv_out'] };
  return [
    ...closing('encoder', [
      convStage('encoder.conv_in', convIn),
      ...downBlocks.flatMap(({ resnets, downsampler }, i) => {
        const at = `encoder.down_blocks.${i}`;
        const down = downsampler === undefined ? [] : [convStage(`${at}.downsamplers.0`, downsampler)];
        return closing(at, [...resnetStages(at, resnets), ...down]);
      }),
      ...midStages('encoder.mid_block', midBlock),
      head,
    ]),
    ...(quantConv === undefined ? [] : [convStage('quant_conv', quantConv)]),
  ];
}

/** The chain from the latents to the image. @source diffusers Decoder.forward, AutoencoderKL._decode */
export function decoderStages({ decoder, postQuantConv }: VaeDecoder): Stage[] {
  const { convIn, midBlock, upBlocks, normOut, convOut } = decoder;
  const head: Stage = { layer: { kind: 'head', norm: normOut, conv: convOut }, paths: ['decoder.conv_out'] };
  return [
    ...(postQuantConv === undefined ? [] : [convStage('post_quant_conv', postQuantConv)]),
    ...closing('decoder', [
      convStage('decoder.conv_in', convIn),
      ...midStages('decoder.mid_block', midBlock),
      ...upBlocks.flatMap(({ resnets, upsampler }, i) => {
        const at = `decoder.up_blocks.${i}`;
        const up: Stage[] =
          upsampler === undefined
            ? []
            : [{ layer: { kind: 'upsample', conv: upsampler }, paths: [`${at}.upsamplers.0`] }];
        return closing(at, [...resnetStages(at, resnets), ...up]);
      }),
      head,
    ]),
  ];
}

/** The size after a stage. The downsampling convolution has stride 2 and one row of padding, so half, rounded down. */
export function sizeAfter({ kind, ...layer }: Layer, [height, width]: Size): Size {
  if (kind === 'upsample') return [2 * height, 2 * width];
  const stride = kind === 'conv' && 'conv' in layer ? layer.conv.stride : 1;
  return [Math.floor(height / stride), Math.floor(width / stride)];
}

/** Channels that go in and that come out. */
export function channelsOf(layer: Layer): readonly [inputs: number, outputs: number] {
  if (layer.kind === 'attention') {
    const [channels] = layer.block.norm.weight.shape;
    return [channels, channels];
  }
  const [first, last] = layer.kind === 'resnet' ? [layer.resnet.conv1, layer.resnet.conv2] : [layer.conv, layer.conv];
  return [first.weight.shape[2], last.weight.shape[3]];
}

function convCost({ weight }: Conv2d, [height, width]: Size): number {
  return height * width * weight.size;
}

/** Multiplications of one image's pass through the stage: what progress is measured in. */
export function costOf(layer: Layer, size: Size): number {
  const after = sizeAfter(layer, size);
  if (layer.kind === 'resnet') {
    const { conv1, conv2, shortcut } = layer.resnet;
    return [conv1, conv2, shortcut].reduce((sum, conv) => sum + (conv === undefined ? 0 : convCost(conv, size)), 0);
  }
  if (layer.kind === 'attention') {
    const [channels] = layer.block.norm.weight.shape;
    const tokens = size[0] * size[1];
    return tokens * (4 * channels ** 2 + 2 * tokens * channels);
  }
  // Nine taps fold into four.
  return convCost(layer.conv, after) * (layer.kind === 'upsample' ? 4 / 9 : 1);
}

/** Multiplications of one image's pass through the chain. */
export function chainCost(stages: readonly Stage[], size: Size): number {
  let at = size;
  return stages.reduce((total, { layer }) => {
    const cost = costOf(layer, at);
    at = sizeAfter(layer, at);
    return total + cost;
  }, 0);
}
