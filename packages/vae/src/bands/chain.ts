import { silu } from '@rass/kernels';
import type { GroupNorm } from '@rass/nn';
import { type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import type { Resnet } from '../params.ts';
import type { Layer, Stage } from '../stages.ts';
import type { Taps } from '../taps.ts';
import type { Held, Work } from '../work.ts';
import { attendBands } from './attention.ts';
import { type Bands, joinRows, oneBand } from './bands.ts';
import type { BandContext } from './context.ts';
import { type BandConvolution, besideBands, convolveBands } from './convolution.ts';
import { freeStatistics, holdStatistics, normalized } from './statistics.ts';
import { upsampleBands } from './upsample.ts';

/** Norm, SiLU and a convolution, where the norm sees the whole image and the others one band. */
function* normSiluConv(x: Bands, norm: GroupNorm, spec: Omit<BandConvolution, 'prepare'>, c: BandContext): Work<Bands> {
  const statistics = holdStatistics(x, norm, c.held);
  const prepare = (rows: Tensor4D): Tensor4D => tidy(() => silu(normalized(norm, statistics, rows)));
  const result = yield* convolveBands(x, { ...spec, prepare }, c);
  freeStatistics(statistics, c.held);
  return result;
}

function* resnetBands(x: Bands, p: Resnet, c: BandContext): Work<Bands> {
  const beside = p.shortcut === undefined ? undefined : besideBands(x, p.shortcut);
  const keep = beside === undefined;
  const first = yield* normSiluConv(x, p.norm1, { conv: p.conv1, beside, keep }, c);
  return yield* normSiluConv(first, p.norm2, { conv: p.conv2, skip: beside?.into ?? x }, c);
}

function bandedLayer(layer: Layer, x: Bands, c: BandContext): Work<Bands> {
  switch (layer.kind) {
    case 'conv':
      return convolveBands(x, { conv: layer.conv }, c);
    case 'resnet':
      return resnetBands(x, layer.resnet, c);
    case 'attention':
      return attendBands(x, layer.block, c);
    case 'upsample':
      return upsampleBands(x, layer.conv, c);
    case 'head':
      return normSiluConv(x, layer.norm, { conv: layer.conv }, c);
  }
}

/** The chain in horizontal bands, layer by layer, with the same result as on whole tensors.
 * @shape [1, H, W, C] -> [1, H', W', C'] */
export function* bandedChain(
  stages: readonly Stage[],
  x_BHWC: Tensor4D,
  taps: Taps,
  held: Held,
  maxTensorBytes: number,
): Work<Tensor4D> {
  let bands = oneBand(x_BHWC);
  for (const { layer, paths } of stages) {
    bands = yield* bandedLayer(layer, bands, { held, maxTensorBytes, at: paths[0] });
    taps.take(paths, () => joinRows(bands));
  }
  const whole = held.hold(joinRows(bands));
  for (const { rows } of bands.strips) held.free(rows);
  return whole;
}
