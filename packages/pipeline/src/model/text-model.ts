import type { TagPrompt } from '@rass/attention-alignment';
import { disposeParams } from '@rass/nn';
import {
  type ClipText,
  clipText,
  emptyPrompt,
  loadClipText,
  parseClipTextConfig,
  type TokenBatch,
  type Tokenizer,
} from '@rass/text-encoder';
import type { DiffusersComponent, LoadOptions, TokenizerFiles } from '@rass/weights';
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

/** What was made of prompts lately. */
class Embeddings {
  // A Map keeps the order in which prompts were used.
  readonly #known = new Map<string, Tensor3D>();
  readonly params: ClipText;

  constructor(params: ClipText) {
    this.params = params;
  }

  #one(prompt: string, rows: () => TokenBatch): Tensor3D {
    const found = this.#known.get(prompt) ?? keep(tidy(() => clipText(this.params, rows()).lastHiddenState));
    this.#known.delete(prompt);
    this.#known.set(prompt, found);
    return found;
  }

  #forget(most: number): void {
    for (const [prompt, embedding] of this.#known) {
      if (this.#known.size <= most) return;
      embedding.dispose();
      this.#known.delete(prompt);
    }
  }

  /** [B, T, D] */
  of(prompts: readonly string[], rows: (prompt: string) => TokenBatch): Tensor3D {
    const batch = tidy(() =>
      concat(
        prompts.map((prompt) => this.#one(prompt, () => rows(prompt))),
        0,
      ),
    );
    this.#forget(KEPT);
    return batch;
  }

  dispose(): void {
    this.#forget(0);
    disposeParams(this.params);
  }
}

/** A text model over its parameters. */
export function textModel(params: ClipText, tokenizer: Tokenizer): TextModel {
  const embeddings = new Embeddings(params);
  return {
    tokenizer,
    params,
    embed: (prompts) => embeddings.of(prompts, (prompt) => tokenizer.encodeBatch([prompt])),
    dispose: () => embeddings.dispose(),
  };
}

/** The tokenizer of a folder; one without has that of Stable Diffusion 2, whose vocabulary is a quarter of a megabyte. */
async function loadTokenizer(files: TokenizerFiles | undefined): Promise<Tokenizer> {
  if (files === undefined) {
    const { createTokenizer } = await import('@rass/text-encoder/presets');
    return createTokenizer({ preset: 'stable-diffusion-2' });
  }
  const { tokenizerFromFiles } = await import('@rass/text-encoder/tokenizer');
  return tokenizerFromFiles(files);
}

const loadParams = async ({ checkpoint, config }: DiffusersComponent, loading?: LoadOptions): Promise<ClipText> =>
  (await loadClipText(checkpoint, parseClipTextConfig(config), loading)).params;

/** Loads the text encoder and the tokenizer of a folder. */
export async function openTextModel(
  encoder: DiffusersComponent,
  files: TokenizerFiles | undefined,
  loading?: LoadOptions,
): Promise<TextModel> {
  const params = await loadParams(encoder, loading);
  try {
    return textModel(params, await loadTokenizer(files));
  } catch (error) {
    disposeParams(params);
    throw error;
  }
}

/** Tags to what the UNet conditions on. What cuts texts into tokens is loaded with the first tag, if one ever comes; that of a folder with its own, with the first prompt. */
export interface TagModel {
  readonly params: ClipText;
  prompt(tags: readonly string[]): Promise<TagPrompt>;
  /** The caller's to dispose of. [1, T, D] */
  embed(prompt: TagPrompt): Tensor3D;
  dispose(): void;
}

const NO_TAGS: TagPrompt = { text: '', tags: [], dropped: [] };

/** Loads the text encoder of a folder, for tags. */
export async function openTagModel(
  encoder: DiffusersComponent,
  files: TokenizerFiles | undefined,
  loading?: LoadOptions,
): Promise<TagModel> {
  const params = await loadParams(encoder, loading);
  const embeddings = new Embeddings(params);
  let tokenizer: Tokenizer | undefined;
  let asked: Promise<Tokenizer> | undefined;
  const load = async (): Promise<Tokenizer> => {
    asked ??= loadTokenizer(files);
    try {
      tokenizer = await asked;
      return tokenizer;
    } finally {
      asked = undefined;
    }
  };
  return {
    params,
    async prompt(tags) {
      if (tags.length === 0) {
        // Other tokenizers frame their rows in their own way.
        if (files !== undefined && tokenizer === undefined) await load();
        return NO_TAGS;
      }
      const { tokenize } = tokenizer ?? (await load());
      const { tagPrompt } = await import('../tags/tag-prompt.ts');
      return tagPrompt(tags, tokenize);
    },
    embed: ({ text }) =>
      embeddings.of([text], () => tokenizer?.encodeBatch([text]) ?? emptyPrompt('stable-diffusion-2')),
    dispose: () => embeddings.dispose(),
  };
}
