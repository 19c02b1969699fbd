import { closest } from '@rass/nn';
import { type FeatureTap, RASS_TAPS } from '@rass/rass';
import { type UnetConfig, tapNames as unetTapNames } from '@rass/unet';
import { type VaeConfig, tapNames as vaeTapNames } from '@rass/vae';

/** The feature maps of a model with these names, with their channels and strides. Default RASS's.
 * @throws on a name that the model has not, with the closest */
export function modelTaps(
  vae: VaeConfig,
  unet: UnetConfig,
  names: readonly string[] = RASS_TAPS.map(({ name }) => name),
): FeatureTap[] {
  const latentStride = 2 ** (vae.blockOutChannels.length - 1);
  const all: FeatureTap[] = [
    ...vaeTapNames(vae).map(({ name, channels, level }) => ({ name: `vae.${name}`, channels, stride: 2 ** level })),
    ...unetTapNames(unet).map(({ name, channels, level }) => ({
      name: `unet.${name}`,
      channels,
      stride: latentStride * 2 ** level,
    })),
  ];
  return names.map((name) => {
    const tap = all.find((each) => each.name === name);
    if (tap !== undefined) return tap;
    const near = closest(
      name,
      all.map((each) => each.name),
      3,
    ).join(', ');
    throw new Error(`taps: each is a feature map of the model; got "${name}"; closest: ${near}`);
  });
}
