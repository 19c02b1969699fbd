import { namedTensors, trainable } from '@rass/nn';
import { stageLeaves } from '@rass/pipeline';
import { isTrainedInStage } from '@rass/rass';
import type { Unet } from '@rass/unet';
import { paramSpecs, saveParams } from '@rass/weights';
import { createSafetensors } from '@rass/weights/node';

const CONV_IN = /^conv_in\.(weight|bias)$/;

/** The UNet with a stage's tensors as variables. The adapters' starting values are freed; `shared` says that the first convolution's
 * are another tree's, too. */
export function trainableStage(unet: Unet, { shared }: { readonly shared: boolean }): Unet {
  const trained = trainable(unet, isTrainedInStage);
  const copied = namedTensors(unet).filter(({ key }) => isTrainedInStage(key) && !(shared && CONV_IN.test(key)));
  for (const { tensor } of copied) tensor.dispose();
  return trained;
}

/** Writes what a stage has trained: of the UNet the adapters and the first convolution, of other trees everything. */
export async function saveStage(path: string, unet: Unet, ...others: unknown[]): Promise<void> {
  const trained = [stageLeaves(unet), ...others];
  await saveParams(trained, await createSafetensors(path, paramSpecs(trained)));
}
