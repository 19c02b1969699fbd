// The tokenizer by itself, for those who load it when the first text comes.
export { type TokenizerFiles, tokenizerFromFiles } from './tokenizer/files.ts';
export type { Tokenizer } from './tokenizer/tokenizer.ts';
