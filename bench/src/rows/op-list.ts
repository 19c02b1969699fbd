/** One op at one of Stable Diffusion 2.1's sizes. Both sides read these numbers. */
export type OpRow =
  | { op: 'conv'; size: number; inputs: number; outputs: number; kernel: number; stride?: number }
  | { op: 'linear'; rows: number; inputs: number; outputs: number }
  | { op: 'groupNormSilu'; size: number; channels: number }
  | { op: 'layerNorm' | 'silu' | 'geglu' | 'add'; rows: number; channels: number }
  | { op: 'concat' | 'upsample'; size: number; channels: number }
  | { op: 'attention'; queries: number; keys: number; heads: number; headSize: number }
  | { op: 'attentionGradients'; queries: number; keys: number; heads: number; headSize: number }
  | { op: 'groupNormSiluGradients'; size: number; channels: number }
  | {
      op: 'deformableAttention' | 'deformableAttentionGradients';
      size: number;
      heads: number;
      headSize: number;
      points: number;
    }
  | { op: 'convInputGradient'; size: number; inputs: number; outputs: number; kernel: number };

const conv = (size: number, inputs: number, outputs: number, kernel = 3, stride = 1): OpRow =>
  ({ op: 'conv', size, inputs, outputs, kernel, stride }); // biome-ignore format: one line
const attention = (queries: number, keys: number, heads: number, headSize = 64): OpRow => ({
  op: 'attention',
  queries,
  keys,
  heads,
  headSize,
});

/** What a UNet step, the autoencoder and the text encoder spend their time on, and each kind of small op. */
export const opRows: readonly OpRow[] = [
  conv(64, 320, 320),
  conv(64, 960, 320),
  conv(64, 960, 320, 1),
  conv(64, 320, 320, 3, 2),
  conv(32, 640, 640),
  conv(32, 1920, 640),
  conv(16, 1280, 1280),
  conv(16, 2560, 1280),
  conv(8, 1280, 1280),
  conv(8, 2560, 1280),
  conv(64, 512, 512),
  conv(128, 512, 512),
  conv(256, 256, 256),
  conv(512, 128, 128),
  conv(512, 128, 3),
  { op: 'convInputGradient', size: 32, inputs: 320, outputs: 320, kernel: 3 },
  { op: 'convInputGradient', size: 16, inputs: 640, outputs: 640, kernel: 3 },
  { op: 'linear', rows: 4096, inputs: 320, outputs: 320 },
  { op: 'linear', rows: 4096, inputs: 320, outputs: 2560 },
  { op: 'linear', rows: 1024, inputs: 2560, outputs: 640 },
  { op: 'linear', rows: 256, inputs: 1280, outputs: 10240 },
  { op: 'linear', rows: 77, inputs: 1024, outputs: 4096 },
  { op: 'linear', rows: 1, inputs: 1280, outputs: 1280 },
  attention(4096, 4096, 5),
  attention(1024, 1024, 10),
  attention(256, 256, 20),
  attention(4096, 77, 5),
  attention(4096, 4096, 1, 512),
  attention(77, 77, 16),
  { op: 'attentionGradients', queries: 1024, keys: 1024, heads: 5, headSize: 64 },
  { op: 'groupNormSilu', size: 64, channels: 320 },
  { op: 'groupNormSilu', size: 16, channels: 1280 },
  { op: 'groupNormSilu', size: 512, channels: 128 },
  { op: 'groupNormSiluGradients', size: 32, channels: 320 },
  { op: 'layerNorm', rows: 4096, channels: 320 },
  { op: 'geglu', rows: 4096, channels: 1280 },
  { op: 'silu', rows: 4096, channels: 1280 },
  { op: 'add', rows: 4096, channels: 320 },
  { op: 'concat', size: 64, channels: 320 },
  { op: 'upsample', size: 32, channels: 640 },
];

/** Mask2Former's pixel decoder on an image of 512 x 512: each pixel of the maps at strides 8, 16 and 32 samples 4 points of each. */
const pixelDecoder = { size: 512, heads: 8, headSize: 32, points: 4 };
export const deformableRows: readonly OpRow[] = [
  { op: 'deformableAttention', ...pixelDecoder },
  { op: 'deformableAttentionGradients', ...pixelDecoder },
];

/** Those of our shaders, at sizes that a software adapter gets through. */
export const webgpuRows: readonly OpRow[] = [
  conv(32, 320, 320),
  conv(8, 1280, 1280),
  conv(128, 128, 128),
  { op: 'linear', rows: 1024, inputs: 320, outputs: 1280 },
  attention(1024, 1024, 5),
  attention(1024, 77, 5),
  { op: 'groupNormSilu', size: 64, channels: 320 },
  { op: 'layerNorm', rows: 1024, channels: 320 },
  { op: 'geglu', rows: 1024, channels: 1280 },
  { op: 'silu', rows: 1024, channels: 1280 },
  { op: 'deformableAttention', ...pixelDecoder, size: 128 },
  { op: 'deformableAttentionGradients', ...pixelDecoder, size: 128 },
];

/** A row's name: the op and its numbers. */
export function opTitle({ op, ...numbers }: OpRow): string {
  const words = Object.entries(numbers).map(([name, value]) => `${name} ${value}`);
  return `${op.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)}: ${words.join(', ')}`;
}
