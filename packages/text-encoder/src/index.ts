export {
  type BatchOptions,
  createTokenizer,
  type DecodeOptions,
  type Token,
  type TokenBatch,
  type Tokenizer,
  type TokenizerFiles,
  type TokenizerOptions,
  tokenizerFromFiles,
  tokenPositions,
  vocabularyFiles,
} from './tokenizer/index.ts';
