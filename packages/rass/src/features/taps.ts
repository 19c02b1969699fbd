/** A feature map of the frozen model that the head looks at. */
export interface FeatureTap {
  /** `vae.` or `unet.` and the name that the package gives it. */
  readonly name: string;
  readonly channels: number;
  /** Of the image's pixels to the map's. */
  readonly stride: number;
}

/** What RASS takes of Stable Diffusion 2.1: two maps of the autoencoder's encoder and the result of each up block of the UNet, after
 * it was enlarged. @source github.com/Ka1Guan/RASS, FEATURE_DIMS and FEATURE_STRIDES */
export const RASS_TAPS: readonly FeatureTap[] = [
  { name: 'vae.encoder.down_blocks.1', channels: 256, stride: 4 },
  { name: 'vae.encoder.down_blocks.3', channels: 512, stride: 8 },
  { name: 'unet.up_blocks.0', channels: 1280, stride: 32 },
  { name: 'unet.up_blocks.1', channels: 1280, stride: 16 },
  { name: 'unet.up_blocks.2', channels: 640, stride: 8 },
  { name: 'unet.up_blocks.3', channels: 320, stride: 8 },
];

/** The names below a prefix: `tapsOf(RASS_TAPS, 'unet.')`. */
export const tapsOf = (taps: readonly FeatureTap[], prefix: string): string[] =>
  taps.filter(({ name }) => name.startsWith(prefix)).map(({ name }) => name.slice(prefix.length));
