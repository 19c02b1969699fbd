import { type AdapterState, layerShapes } from '@rass/lora';
import { openAdapter } from '@rass/lora/node';
import type { RestorationStage } from '@rass/pipeline';
import type { Unet } from '@rass/unet';
import { saveSafetensors } from '@rass/weights/node';

type Tensors = Map<string, { dtype: 'F32'; shape: readonly number[]; data: Float32Array<ArrayBuffer> }>;

/** The tensors of one adapter under the names that a stage's file has. @throws when a layer has another kind of adapter */
function addTensors(tensors: Tensors, name: string, { layers, whole }: AdapterState, file: string): void {
  for (const [path, update] of layers) {
    if (update.kind !== 'lora') {
      throw new Error(
        `${file}: RASS's adapters are LoRA; got ${update.kind} of ${path}; give the file that its training wrote`,
      );
    }
    tensors.set(`${path}.lora_A.${name}.weight`, { dtype: 'F32', ...update.down });
    tensors.set(`${path}.lora_B.${name}.weight`, { dtype: 'F32', ...update.up });
  }
  for (const [key, tensor] of whole) tensors.set(key, { dtype: 'F32', ...tensor });
}

/** Writes upstream's SCR LoRA, `scr.pkl`, as a stage of a model's folder. Its output is read in the form of one step of DDPM, as RASS's code has it.
 * @throws when it is none, or not of this UNet @source github.com/Ka1Guan/RASS restoration_adaptation/ras.py */
export async function importScr(file: string, unet: Unet, to: string): Promise<Omit<RestorationStage, 'file'>> {
  const { adapters } = await openAdapter(file, { shapes: layerShapes(unet) });
  const tensors: Tensors = new Map();
  const entries = Object.entries(adapters);
  for (const [name, state] of entries) addTensors(tensors, name, state, file);
  const first = entries.map(([, { config }]) => config).find((config) => config !== undefined);
  if (first === undefined || tensors.size === 0) {
    throw new Error(`${file}: it has adapters and their rank; got none; give the scr.pkl of RASS or a file of OSEDiff`);
  }
  await saveSafetensors(to, tensors);
  return { rank: first.rank, alpha: first.alpha, latentUpdate: 'ddpm', timestep: 1 };
}
