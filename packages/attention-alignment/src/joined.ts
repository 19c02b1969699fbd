import { resize } from '@rass/kernels';
import { anything, checkOptions, listOf, type OptionRules, whole } from '@rass/kernels/options';
import { add, div, maximum, reshape, type Tensor3D, type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import type { LevelMaps, Size } from './maps.ts';

export interface JoinOptions {
  /** Rows and columns of the result; default those of the finest maps. */
  size?: Size;
  /** Default `bicubic`, whose overshoot is cut off at 0. */
  method?: 'bilinear' | 'bicubic';
}

const JOIN_OPTIONS_RULES: OptionRules<JoinOptions> = { size: listOf(whole(1)), method: anything };

/** Maps of every size as one, upsampled and averaged. @shape maps [B, L, I] each -> [B, H W, I]
 * @throws when there is none @source DAAM compute_global_heat_map */
export function joinMaps(levels: readonly LevelMaps[], options: JoinOptions = {}): { size: Size; maps: Tensor3D } {
  checkOptions('joinMaps', options, JOIN_OPTIONS_RULES);
  if (levels.length === 0) {
    throw new Error('attention-alignment: maps of at least one size are joined; got none; call tagMaps first');
  }
  const { size = levels[0].size, method = 'bicubic' } = options;
  const maps = tidy(() => {
    const all = levels.map(({ size: [rows, columns], maps: maps_BLI }) => {
      const [B, , I] = maps_BLI.shape;
      const image = reshape(maps_BLI, [B, rows, columns, I]) as Tensor4D;
      const same = rows === size[0] && columns === size[1];
      return reshape(same ? image : maximum(resize(image, [...size], method), 0), [
        B,
        size[0] * size[1],
        I,
      ]) as Tensor3D;
    });
    return div(
      all.reduce((a, b) => add(a, b)),
      all.length,
    ) as Tensor3D;
  });
  return { size, maps };
}
