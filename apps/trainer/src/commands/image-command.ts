import type { TagChoice } from '@rass/pipeline';
import { Command } from 'commander';
import { imageTagsOf, wholeOf } from './option-values.ts';

export interface ImageFlags {
  model: string;
  out: string;
  tags?: TagChoice;
  backend?: string;
  maxPixels?: number;
}

/** What every command over images takes. */
export const imageCommand = (name: string, description: string): Command =>
  new Command(name)
    .description(description)
    .argument('<inputs...>', 'images, or folders of images: JPEG, PNG, WebP')
    .requiredOption('--model <folder>', "a model's folder, as rass train writes it")
    .requiredOption('--out <folder>', 'where results are written')
    .option(
      '--tags <how>',
      'what photographs show: none, found (segmented first), or names such as "building, sky"',
      imageTagsOf,
    )
    .option('--backend <name>', 'what computes (default: the best that there is)')
    .option('--max-pixels <count>', 'images with more are refused (default: 100 million)', wholeOf);
