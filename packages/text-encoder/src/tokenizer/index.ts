export type { BatchOptions, TokenBatch } from './batch.ts';
export type { DecodeOptions } from './decode.ts';
export { createTokenizer, type TokenizerFiles, type TokenizerOptions, tokenizerFromFiles } from './files.ts';
export type { Token } from './text-tokens.ts';
export { type Tokenizer, tokenPositions } from './tokenizer.ts';
export { vocabularyFiles } from './vocabulary.ts';
