import type { Colour } from '@rass/images';
import type { TagChoice } from '@rass/pipeline';
import { InvalidArgumentError } from 'commander';

/** `none`, `found`, `labels`, or names with commas between them. */
export function tagsOf(text: string): TagChoice {
  if (text === 'none' || text === 'found' || text === 'labels') return text;
  return text
    .split(',')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '');
}

/** The same where nothing is labelled. */
export function imageTagsOf(text: string): TagChoice {
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

/** A colour as pages write it: # and six digits. */
export function colourOf(text: string): Colour {
  const digits = /^#?([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(text);
  if (digits !== null) return [digits[1]!, digits[2]!, digits[3]!].map((each) => Number.parseInt(each, 16)) as unknown as Colour; // biome-ignore format: one line
  throw new InvalidArgumentError('It is red, green and blue in six digits, such as "#ffffff".');
}

/** Any number above 0. */
export function numberOf(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('It is a number above 0.');
}
