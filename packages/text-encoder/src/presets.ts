export { vocabularyFiles } from './tokenizer/clip-vocabulary.ts';
export { createTokenizer, type TokenizerOptions } from './tokenizer/presets.ts';
