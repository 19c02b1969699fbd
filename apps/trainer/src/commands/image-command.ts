import type { TagChoice } from '@rass/pipeline';
import { Command, InvalidArgumentError } from 'commander';

export interface ImageFlags {
  model: string;
  out: string;
  tags?: TagChoice;
  backend?: string;
  maxPixels?: number;
}

/** `none`, `found`, `labels`, or names with commas between them. */
export function tagsOf(text: string): TagChoice {
  if (text === 'none' || text === 'found' || text === 'labels') return text;
  return text
    .split(',')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '');
}

function imageTagsOf(text: string): TagChoice {
  if (text !== 'labels') return tagsOf(text);
  throw new InvalidArgumentError('Photographs have no labels: none, found, or names.');
}

/** A count, or a number of pixels. */
export function wholeOf(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('It is a whole number above 0.');
}

export function seedOf(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError('It is a whole number from 0 on.');
}

export function numberOf(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('It is a number above 0.');
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
