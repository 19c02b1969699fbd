import { join } from 'node:path';
import { leaves, shapeParams } from '@rass/nn';
import { loadGolden, randomValues } from '@rass/testkit';
import { parseUnetConfig, unetParams } from '@rass/unet';
import { encodeSafetensors } from '@rass/weights';

/** Adapters that others wrote: test-fixtures/make/lora_files.py. */
export const files = join(import.meta.dirname, '../../../../test-fixtures/golden/lora/files');

/** The tiny Stable Diffusion 2 UNet that they are of. */
export const shapeTree = unetParams(shapeParams(), parseUnetConfig(loadGolden('unet/sd2').config));
export const paths = leaves(shapeTree).map(({ path }) => path);

/** A file of random tensors. */
export const tensors = (shapes: Record<string, number[]>): Promise<Uint8Array<ArrayBuffer>> =>
  encodeSafetensors(
    Object.fromEntries(
      Object.entries(shapes).map(([key, shape], i) => {
        const data = randomValues(
          shape.reduce((a, b) => a * b, 1),
          { seed: i + 1 },
        );
        return [key, { dtype: 'F32' as const, shape, data }];
      }),
    ),
  );

export const Q = 'down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q';
export const Q_ = `lora_unet_${Q.replaceAll('.', '_')}`;
export const ORIGINAL = 'input_blocks_1_1_transformer_blocks_0_attn1_to_q';
