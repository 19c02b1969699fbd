import type { Dataset } from '@rass/datasets';
import type { Command } from 'commander';
import { openSource } from '../samples/open-source.ts';
import { type SourceHints, sourceOf } from '../samples/source-of.ts';

/** What a data set's argument is called. */
export const DATASET = "a folder in ADE20K's layout, COCO's panoptic JSON, a list, or a folder of images";

/** What says more of a data set than its path. */
export const withSourceOptions = (command: Command): Command =>
  command
    .option('--split <name>', 'the folder below images/ and annotations/')
    .option(
      '--images <folder>',
      "of COCO's panoptic JSON: where its images lie (default: val2017/ beside annotations/)",
    )
    .option('--masks <folder>', "and its PNGs (default: the folder of the JSON's name)");

/** Opens what a path is: see sourceOf. @throws when it is none */
export const openAnyDataset = async (path: string, hints: SourceHints = {}): Promise<Dataset> =>
  openSource(await sourceOf(path, hints));
