export type { BatchOptions, TokenBatch } from './batch.ts';
export type { DecodeOptions } from './decode.ts';
export { emptyPrompt } from './empty.ts';
export { type TokenizerFiles, tokenizerFromFiles } from './files.ts';
export type { Token } from './text-tokens.ts';
export { type Tokenizer, tokenPositions } from './tokenizer.ts';
