import { resize } from '@rass/kernels';
import type { FeaturePyramid, PyramidChannels } from '@rass/mask2former';
import { type Conv2d, conv2d, type GroupNorm, groupNorm, type ParamSource } from '@rass/nn';
import { add, relu, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { type FeatureTap, RASS_TAPS } from './taps.ts';

/** How feature maps become a pyramid; defaults are RASS's. */
export interface FeatureFusionConfig {
  readonly taps?: readonly FeatureTap[];
  /** Channels of each level; default 512. */
  readonly channels?: number;
  /** Channels within a projection; default a quarter. */
  readonly bottleneck?: number;
  /** Of the group norms; default 32. */
  readonly groups?: number;
}

interface ConvNorm {
  readonly conv: Conv2d;
  readonly norm: GroupNorm;
}

/** One map's projection: a bottleneck residual block. */
export interface FeatureProjection {
  readonly tap: FeatureTap;
  readonly first: ConvNorm;
  readonly second: ConvNorm;
  readonly third: ConvNorm;
  /** Where the map has other channels than the level. */
  readonly shortcut?: ConvNorm;
}

/** The parameters of the feature fusion. */
export interface FeatureFusion {
  readonly projections: readonly FeatureProjection[];
}

const LEVELS = { res2: 4, res3: 8, res4: 16, res5: 32 } as const;
type Level = keyof typeof LEVELS;
const levelNames = Object.keys(LEVELS) as Level[];

/** `<path>` is the convolution, `<path>.norm` its norm, as detectron2 has them. */
function convNorm(from: ParamSource, inputs: number, outputs: number, kernel: number, groups: number): ConvNorm {
  // He's initialisation by the fan out. @source fvcore.nn.weight_init.c2_msra_fill
  const init = { weight: { kind: 'normal', deviation: Math.sqrt(2 / (outputs * kernel * kernel)) } } as const;
  return {
    conv: from.conv2d(inputs, outputs, { kernel, padding: (kernel - 1) / 2, bias: false, init }),
    norm: from.at('norm').groupNorm(outputs, { groups }),
  };
}

function checkTaps(taps: readonly FeatureTap[]): void {
  for (const { name, stride } of taps) {
    if (Object.values(LEVELS).includes(stride as 4)) continue;
    throw new Error(`featureFusion: strides are 4, 8, 16 and 32; got ${stride} of ${name}; leave that map out`);
  }
  for (const level of levelNames) {
    if (taps.some(({ stride }) => stride === LEVELS[level])) continue;
    throw new Error(
      `featureFusion: each of the strides 4, 8, 16 and 32 has a map; none has ${LEVELS[level]}; choose another map, too`,
    );
  }
  const twice = taps.find(({ name }, i) => taps.some((other, j) => j < i && other.name === name));
  if (twice !== undefined) {
    throw new Error(`featureFusion: a map is projected once; got ${twice.name} twice; name it once`);
  }
}

/** The parameters of the feature fusion, by RASS's names below `backbone.feature_extractor`.
 * @throws when a stride is unknown, or one of the four has no map
 * @source github.com/Ka1Guan/RASS FeatureProjection; detectron2 BottleneckBlock */
export function featureFusionParams(from: ParamSource, config: FeatureFusionConfig = {}): FeatureFusion {
  const { taps = RASS_TAPS, channels = 512, bottleneck = channels / 4, groups = 32 } = config;
  checkTaps(taps);
  return {
    projections: taps.map((tap, i) => {
      const block = from.at('feature_projections').at(i).at(0);
      return {
        tap,
        first: convNorm(block.at('conv1'), tap.channels, bottleneck, 1, groups),
        second: convNorm(block.at('conv2'), bottleneck, bottleneck, 3, groups),
        third: convNorm(block.at('conv3'), bottleneck, channels, 1, groups),
        shortcut:
          tap.channels === channels ? undefined : convNorm(block.at('shortcut'), tap.channels, channels, 1, groups),
      };
    }),
  };
}

/** How many channels each level of the pyramid has. */
export function fusedChannels({ channels = 512 }: FeatureFusionConfig = {}): PyramidChannels {
  return { res2: channels, res3: channels, res4: channels, res5: channels };
}

const run = ({ conv, norm }: ConvNorm, x: Tensor4D): Tensor4D => groupNorm(norm, conv2d(conv, x));

function project(p: FeatureProjection, x_BHWC: Tensor4D): Tensor4D {
  const inner = relu(run(p.second, relu(run(p.first, x_BHWC))));
  const beside = p.shortcut === undefined ? x_BHWC : run(p.shortcut, x_BHWC);
  return relu(add(run(p.third, inner), beside)) as Tensor4D;
}

function mapOf(taps: Readonly<Record<string, Tensor4D>>, { name, channels }: FeatureTap): Tensor4D {
  const map = taps[name];
  if (map === undefined) {
    throw new Error(`featureFusion: every map is given; got no ${name}; there are ${Object.keys(taps).join(', ')}`);
  }
  if (map.rank !== 4 || map.shape[3] !== channels) {
    throw new Error(`featureFusion: ${name} is [B, H, W, ${channels}]; got [${map.shape}]; check the model`);
  }
  return map;
}

/** Projects each map, and sums those of one stride. Where a map is not of the level's size, it is resized to the nearest pixels first.
 * @shape taps [B, h, w, C] by name, image size [H, W] in pixels -> each level [B, H / stride, W / stride, channels], rounded down
 * @throws when a map is missing or has other channels, or the image is smaller than the largest stride
 * @source github.com/Ka1Guan/RASS FeatureProjection.forward_features; golden/rass/fusion */
export function featureFusion(
  p: FeatureFusion,
  taps: Readonly<Record<string, Tensor4D>>,
  [rows, columns]: readonly [number, number],
): FeaturePyramid {
  if (!(rows >= LEVELS.res5 && columns >= LEVELS.res5)) {
    throw new Error(
      `featureFusion: an image has at least ${LEVELS.res5} rows and columns; got ${rows} x ${columns}; enlarge it`,
    );
  }
  const fused = (stride: number): Tensor4D => {
    const size = [Math.floor(rows / stride), Math.floor(columns / stride)] as const;
    return p.projections
      .filter(({ tap }) => tap.stride === stride)
      .map((projection) => {
        const map = mapOf(taps, projection.tap);
        const fits = map.shape[1] === size[0] && map.shape[2] === size[1];
        return project(projection, fits ? map : resize(map, size, 'nearest'));
      })
      .reduce((a, b) => add(a, b));
  };
  const { res2, res3, res4, res5 } = tidy(() => ({
    res2: fused(LEVELS.res2),
    res3: fused(LEVELS.res3),
    res4: fused(LEVELS.res4),
    res5: fused(LEVELS.res5),
  }));
  return { res2, res3, res4, res5 };
}
