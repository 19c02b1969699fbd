export type { Mask2FormerOutput, Prediction } from './outputs.ts';
