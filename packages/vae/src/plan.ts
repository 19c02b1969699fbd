import type { Tensor4D } from '@tensorflow/tfjs-core';
import type { VaeConfig } from './config.ts';
import type { Size, Stage } from './stages.ts';
import type { Taps } from './taps.ts';
import type { Held, Work } from './work.ts';

export type Direction = 'encode' | 'decode';

/** How one image, or with neither tiling nor slicing the batch, goes through the chain. */
export type Chain = (x_BHWC: Tensor4D, taps: Taps, held: Held) => Work<Tensor4D>;

/** What is to go through which chain. */
export interface ChainInput {
  readonly stages: readonly Stage[];
  readonly config: VaeConfig;
  readonly direction: Direction;
  /** Of the images or latents. */
  readonly size: Size;
}

export interface ChainPlan {
  readonly chain: Chain;
  /** In multiplications. */
  readonly costPerImage: number;
  /** Whether the images of a batch go one after the other. */
  readonly perImage: boolean;
}

/** Plans a pass in pieces; undefined where the whole is no more than one of them. */
export type Tiler<Tiling> = (input: ChainInput, tiling: Tiling) => ChainPlan | undefined;
