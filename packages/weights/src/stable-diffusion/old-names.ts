import type { Checkpoint } from '../checkpoint.ts';
import { renamedCheckpoint, viewCheckpoint } from '../rename/view.ts';
import { OLD_VAE_ATTENTION } from './vae-names.ts';

/** A VAE that was saved before diffusers 0.17, under today's names. */
export const renamedVae = (vae: Checkpoint): Checkpoint => renamedCheckpoint(vae, OLD_VAE_ATTENTION);

/** A checkpoint without the tensors of some keys. */
export function withoutKeys(checkpoint: Checkpoint, unwanted: (key: string) => boolean): Checkpoint {
  const keys = checkpoint.keys().filter((key) => !unwanted(key));
  return viewCheckpoint(checkpoint, new Map(keys.map((key) => [key, { key }])));
}
