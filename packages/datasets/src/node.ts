export { type Ade20kOptions, openAde20k, reduceZeroLabel } from './node/ade20k.ts';
export { CLASSES_FILE, readClassesFile } from './node/classes-file.ts';
export { type CocoPanopticFiles, openCocoPanoptic } from './node/coco-panoptic.ts';
export { openFolder, openList, openPairs } from './node/folders.ts';
