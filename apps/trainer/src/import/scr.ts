import { type AdapterState, layerShapes, readAdapter } from '@rass/lora';
import { openAdapterSource } from '@rass/lora/node';
import { shapeParams } from '@rass/nn';
import type { RestorationStage } from '@rass/pipeline';
import { scrAdapters } from '@rass/rass';
import { parseUnetConfig, unetParams } from '@rass/unet';
import type { Checkpoint } from '@rass/weights';
import { saveSafetensors } from '@rass/weights/node';
import { adapterShapes } from '../export/merged-unet.ts';

type Tensors = Map<string, { dtype: 'F32'; shape: readonly number[]; data: Float32Array<ArrayBuffer> }>;

const REMEDY = 'give the scr.pkl of RASS';

function refuse(file: string, rule: string, got: string): never {
  throw new Error(`${file}: ${rule}; got ${got}; ${REMEDY}`);
}

/** What RASS saves beside the tensors. @source github.com/Ka1Guan/RASS restoration_adaptation/ras.py */
const FIELDS = /^(rank_unet|unet_lora_(encoder|decoder|others)_modules|state_dict_unet)$/;
/** OSEDiff's file has an adapter of the autoencoder, too, and its step is the last one. */
const OF_VAE = /(^|_)vae(_|$)/;

/** @throws naming what of a file is not read */
function checkFields(file: string, checkpoint: Checkpoint): void {
  const { value } = checkpoint as { value?: unknown };
  const fields = typeof value === 'object' && value !== null ? Object.keys(value) : [];
  if (!fields.includes('rank_unet')) {
    const got = fields.slice(0, 4).join(', ') || checkpoint.format;
    refuse(file, 'it has rank_unet, lists of layers and state_dict_unet', got);
  }
  const others = fields.filter((field) => !FIELDS.test(field));
  if (others.length === 0) return;
  const isOsediff = others.some((field) => OF_VAE.test(field));
  const what = isOsediff ? ', of OSEDiff, which adapts the autoencoder and restores from timestep 999' : '';
  refuse(file, 'all of it is read: rank_unet, lists of layers and state_dict_unet', `${others.join(', ')}${what}`);
}

/** The tensors of one adapter under the names that a stage's file has. @throws when a layer has another kind of adapter */
function addTensors(tensors: Tensors, name: string, { layers, whole }: AdapterState, file: string): void {
  for (const [path, update] of layers) {
    if (update.kind !== 'lora') refuse(file, "RASS's adapters are LoRA", `${update.kind} of ${path}`);
    tensors.set(`${path}.lora_A.${name}.weight`, { dtype: 'F32', ...update.down });
    tensors.set(`${path}.lora_B.${name}.weight`, { dtype: 'F32', ...update.up });
  }
  for (const [key, tensor] of whole) tensors.set(key, { dtype: 'F32', ...tensor });
}

/** @throws when there are other tensors than those of a stage */
function checkTensors(file: string, tensors: Tensors, wanted: ReadonlyMap<string, readonly number[]>): void {
  const missing = [...wanted.keys()].filter((key) => !tensors.has(key));
  const other = [...tensors.keys()].filter((key) => !wanted.has(key));
  const wrong = [...wanted].find(([key, shape]) => tensors.has(key) && tensors.get(key)!.shape.join() !== shape.join());
  const counted = (what: string, keys: readonly string[]) => `${what} ${keys.length} of ${wanted.size}: ${keys.slice(0, 3).join(', ')}`; // biome-ignore format: one line
  const rule = 'it has the three adapters of stage 1 and the first convolution, of this UNet';
  if (missing.length > 0) refuse(file, rule, counted('nothing for', missing));
  if (other.length > 0) refuse(file, rule, counted('others,', other));
  if (wrong !== undefined) refuse(file, rule, `"${wrong[0]}" [${tensors.get(wrong[0])!.shape.join(', ')}] for [${wrong[1].join(', ')}]`); // biome-ignore format: one line
}

/** Writes upstream's SCR LoRA, `scr.pkl`, as a stage of a model's folder. Its output is read in the form of one step of DDPM, as RASS's code has it.
 * @throws when it is none, has more in it, or is not of this UNet @source github.com/Ka1Guan/RASS restoration_adaptation/ras.py */
export async function importScr(
  file: string,
  unetConfig: unknown,
  to: string,
): Promise<Omit<RestorationStage, 'file'> & { rank: number; alpha: number }> {
  const { checkpoint } = await openAdapterSource(file);
  try {
    checkFields(file, checkpoint);
    const shapes = layerShapes(unetParams(shapeParams(), parseUnetConfig(unetConfig)));
    const { adapters } = await readAdapter(checkpoint, { shapes, unusedRemedy: REMEDY });
    const tensors: Tensors = new Map();
    for (const [name, state] of Object.entries(adapters)) addTensors(tensors, name, state, file);
    const [first] = Object.values(adapters);
    const { rank, alpha } = first?.config ?? refuse(file, 'it has adapters and their rank', 'none');
    checkTensors(file, tensors, adapterShapes(unetConfig, scrAdapters({ rank, alpha })));
    await saveSafetensors(to, tensors);
    return { rank, alpha, latentUpdate: 'ddpm', timestep: 1 };
  } finally {
    await checkpoint.close();
  }
}
