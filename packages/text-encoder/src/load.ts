import { type Checkpoint, type Loaded, type LoadOptions, loadParams } from '@rass/weights';
import type { ClipTextConfig } from './config.ts';
import { type ClipText, clipTextParams, clipTextPrefix } from './params.ts';

/** A buffer 0, 1, 2, ... that older versions of transformers saved with the model. */
const POSITION_IDS = /(^|\.)embeddings\.position_ids$/;

/** Loads a CLIP text model from a checkpoint of its own, with or without `text_model.` before its keys.
 * The tensors are kept: disposeParams frees them.
 * @throws LoadError, with a report, when checkpoint and configuration do not fit */
export async function loadClipText(
  checkpoint: Checkpoint,
  config: ClipTextConfig,
  options: LoadOptions = {},
): Promise<Loaded<ClipText>> {
  const prefix = clipTextPrefix(checkpoint.keys());
  return loadParams(checkpoint, (from) => clipTextParams(from, config, prefix), {
    ...options,
    allowUnused: [POSITION_IDS, ...(options.allowUnused ?? [])],
  });
}
