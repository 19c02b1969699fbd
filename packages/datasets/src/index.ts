export {
  type AugmentOptions,
  augmentSample,
  centreSample,
  mapSample,
  resizeSample,
  shortestEdge,
  shortSides,
} from './augment/augment.ts';
export { type ColourChange, changeColours, drawColourChange } from './augment/colour.ts';
export { ADE20K_CLASSES } from './classes/ade20k.ts';
export { relabelDataset, unionClasses } from './classes/relabel.ts';
export {
  checkIndex,
  concatDatasets,
  type Dataset,
  type DatasetClass,
  type DatasetSample,
  subsetDataset,
} from './dataset.ts';
export { findLabelFault, type LabelFault } from './label-faults.ts';
export {
  type ClassStatistics,
  type DatasetStatistics,
  datasetStatistics,
  type StatisticsOptions,
} from './statistics.ts';
