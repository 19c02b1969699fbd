export { type ClipTextConfig, type ClipTextConfigOptions, parseClipTextConfig } from './config.ts';
export {
  type ClipTextOptions,
  type ClipTextResult,
  clipText,
  clipTextEmbeddings,
  clipTextFromEmbeddings,
  type TokenRows,
} from './forward.ts';
export { loadClipText } from './load.ts';
export { type ClipText, type ClipTextLayer, clipTextParams, clipTextPrefix } from './params.ts';
export {
  type BatchOptions,
  type DecodeOptions,
  emptyPrompt,
  type Token,
  type TokenBatch,
  type Tokenizer,
  type TokenizerFiles,
  tokenizerFromFiles,
  tokenPositions,
} from './tokenizer/index.ts';
