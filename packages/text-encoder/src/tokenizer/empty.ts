import { batchRows, type TokenBatch } from './batch.ts';

const START = { id: 49406, text: '<|startoftext|>' };
const END = { id: 49407, text: '<|endoftext|>' };
/** Stable Diffusion 2 pads with `!`, 1 with the end token. */
const PADS = { 'stable-diffusion-1': END.id, 'stable-diffusion-2': 0 } as const;
const CLIP_LENGTH = 77;

/** The row of a text without words, as createTokenizer(...).encodeBatch(['']) gives it: no vocabulary is needed for it. [1, 77] */
export const emptyPrompt = (preset: keyof typeof PADS = 'stable-diffusion-1'): TokenBatch =>
  batchRows(() => [], { start: START, end: END, padId: PADS[preset], maxLength: CLIP_LENGTH }, ['']);
