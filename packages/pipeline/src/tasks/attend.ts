import { shortestEdge } from '@rass/datasets';
import { type RgbImage, resizeImage } from '@rass/images';
import { restoreLatents } from '@rass/rass';
import { attentionNames } from '@rass/unet';
import { scaleLatents, vaeEncodeWhole } from '@rass/vae';
import { tidy } from '@tensorflow/tfjs-core';
import { padEdges } from '../images/pad.ts';
import { imageBatch } from '../images/tensors.ts';
import { type TagAttention, tagAttention } from '../tags/attention.ts';
import { holding } from './held.ts';
import type { Restoring } from './restore.ts';
import { MOST_SHORT_SIDES, MULTIPLE, type SharedModels } from './task.ts';

/** Where the restoring model looks for each tag; an image is brought to the short side first, since attention takes memory with the square
 * of the pixels. */
export async function attend(
  { unet, schedule, stage }: Restoring,
  { vae, text }: SharedModels,
  image: RgbImage,
  { tags, shortSide }: { readonly tags: readonly string[]; readonly shortSide: number },
): Promise<TagAttention[]> {
  const size = shortestEdge(image, { side: shortSide, longest: MOST_SHORT_SIDES * shortSide });
  const small = size.width < image.width ? resizeImage(image, size) : image;
  const padded = padEdges(small, MULTIPLE);
  const inside = [small.height / padded.height, small.width / padded.width] as const;
  return holding(async (hold) => {
    const prompt = await text.prompt(tags);
    const embedded = hold(text.embed(prompt));
    const encode = () => scaleLatents(vae.config, vaeEncodeWhole(vae, imageBatch([padded])).posterior.mean);
    const latents = hold(tidy(encode));
    const [, rows, columns] = latents.shape;
    const { timestep, latentUpdate } = stage;
    const attention = attentionNames(unet.config).map(({ name }) => name);
    const step = () => restoreLatents({ unet, schedule }, latents, embedded, { timestep, latentUpdate, attention });
    const maps = hold(tidy(() => ({ ...step().attention })));
    return tagAttention(maps, [rows, columns], prompt.tags, inside);
  });
}
