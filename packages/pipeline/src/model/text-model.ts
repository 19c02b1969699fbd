import { disposeParams } from '@rass/nn';
import {
  type ClipText,
  clipText,
  loadClipText,
  parseClipTextConfig,
  type Tokenizer,
  tokenizerFromFiles,
} from '@rass/text-encoder';
import type { DiffusersComponent, TokenizerFiles } from '@rass/weights';
import { concat, keep, type Tensor3D, tidy } from '@tensorflow/tfjs-core';

/** Prompts to what the UNet conditions on. */
export interface TextModel {
  readonly tokenizer: Tokenizer;
  readonly params: ClipText;
  /** The caller's to dispose of; prompts that were asked for lately are not computed again. [B, T, D] */
  embed(prompts: readonly string[]): Tensor3D;
  dispose(): void;
}

/** Prompts that are kept: of labels in any order there is no end. */
const KEPT = 64;

/** A text model over its parameters. */
export function textModel(params: ClipText, tokenizer: Tokenizer): TextModel {
  // A Map keeps the order in which prompts were used.
  const known = new Map<string, Tensor3D>();
  const one = (prompt: string): Tensor3D => {
    const found =
      known.get(prompt) ?? keep(tidy(() => clipText(params, tokenizer.encodeBatch([prompt])).lastHiddenState));
    known.delete(prompt);
    known.set(prompt, found);
    return found;
  };
  const forget = (most: number): void => {
    for (const [prompt, embedding] of known) {
      if (known.size <= most) return;
      embedding.dispose();
      known.delete(prompt);
    }
  };
  return {
    tokenizer,
    params,
    embed(prompts) {
      const batch = tidy(() => concat(prompts.map(one), 0));
      forget(KEPT);
      return batch;
    },
    dispose() {
      forget(0);
      disposeParams(params);
    },
  };
}

/** Its vocabulary is a quarter of a megabyte, which a model with files of its own does not load. */
async function ofStableDiffusion2(): Promise<Tokenizer> {
  const { createTokenizer } = await import('@rass/text-encoder/presets');
  return createTokenizer({ preset: 'stable-diffusion-2' });
}

/** Loads the text encoder and the tokenizer of a folder; one without a tokenizer has that of Stable Diffusion 2. */
export async function openTextModel(
  encoder: DiffusersComponent,
  files: TokenizerFiles | undefined,
): Promise<TextModel> {
  const { params } = await loadClipText(encoder.checkpoint, parseClipTextConfig(encoder.config));
  const tokenizer = files === undefined ? await ofStableDiffusion2() : tokenizerFromFiles(files);
  return textModel(params, tokenizer);
}
