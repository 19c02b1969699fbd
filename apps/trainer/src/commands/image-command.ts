import type { Colour } from '@rass/images';
import type { TagChoice } from '@rass/pipeline';
import { Command } from 'commander';
import { colourOf, imageTagsOf, wholeOf } from './option-values.ts';

/** Which images. */
export interface InputFlags {
  out: string;
  list?: string;
  skipExisting?: boolean;
  maxPixels?: number;
  background?: Colour;
}

export interface ImageFlags extends InputFlags {
  model: string;
  tags?: TagChoice;
  backend?: string;
}

/** What of them a run is told. */
export const jobsOptions = ({ out, skipExisting, maxPixels, background }: InputFlags) => ({
  out,
  ...(skipExisting && { skipExisting }),
  ...(maxPixels !== undefined && { maxPixels }),
  ...(background && { background }),
});

/** A command over images: which ones, and where their results go. */
export const inputsCommand = (name: string, description: string): Command =>
  new Command(name)
    .description(description)
    .argument('[inputs...]', 'images, or folders of images: JPEG, PNG, WebP')
    .option('--list <file>', 'also the images whose paths stand on the lines of a file, or of standard input: -')
    .requiredOption('--out <folder>', 'where results are written')
    .option('--skip-existing', 'leave out images whose results are there')
    .option('--max-pixels <count>', 'images with more are refused (default: 100 million)', wholeOf)
    .option(
      '--background <colour>',
      'what transparent images are laid on, such as "#ffffff" (default: seen on white, written with their transparency)',
      colourOf,
    );

/** A command that runs a model over images. */
export const imageCommand = (name: string, description: string): Command =>
  inputsCommand(name, description)
    .requiredOption('--model <folder>', "a model's folder, as rass train writes it")
    .option(
      '--tags <how>',
      'what photographs show: none, found (segmented first), or names such as "building, sky"',
      imageTagsOf,
    )
    .option('--backend <name>', 'what computes (default: the best that there is)');
