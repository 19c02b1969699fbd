import type { AddedToken } from './added-tokens.ts';
import { clipVocabulary } from './clip-vocabulary.ts';
import { addedToken } from './files.ts';
import { buildTokenizer, type Tokenizer } from './tokenizer.ts';
import { END_TOKEN, START_TOKEN } from './vocabulary.ts';

export interface TokenizerOptions {
  /** Stable Diffusion 1 pads with `<|endoftext|>` (49407), as CLIP does. Stable Diffusion 2 pads with `!` (0), and
   * takes every `!` of a text for that token. Default 1. */
  preset?: 'stable-diffusion-1' | 'stable-diffusion-2';
  /** Longest row; default 77, what the text models were trained with. */
  maxLength?: number;
}

const CLIP_LENGTH = 77;

/** The tokenizer of CLIP and Stable Diffusion, with the vocabulary that this package ships.
 * @throws on an unknown preset @source transformers CLIPTokenizer; openai/CLIP */
export function createTokenizer(options: TokenizerOptions = {}): Tokenizer {
  const { preset = 'stable-diffusion-1', maxLength = CLIP_LENGTH } = options;
  if (preset !== 'stable-diffusion-1' && preset !== 'stable-diffusion-2') {
    throw new Error(
      `tokenizer: preset is stable-diffusion-1 or stable-diffusion-2; got ${JSON.stringify(preset)}; tokenizerFromFiles reads others' files`,
    );
  }
  const vocabulary = clipVocabulary();
  const second = preset === 'stable-diffusion-2';
  // As the published folders have it: only the padding token's own entry is matched in the text as given.
  const special = (content: string, normalized: boolean): AddedToken => ({
    ...addedToken(content, vocabulary.idOf(content) as number, true),
    normalized,
  });
  const padToken = second ? '!' : END_TOKEN;
  const added = [special(START_TOKEN, true), special(END_TOKEN, second), ...(second ? [special('!', false)] : [])];
  return buildTokenizer({ vocabulary, added, startToken: START_TOKEN, endToken: END_TOKEN, padToken, maxLength });
}
