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

/** Any number above 0. */
export function numberOf(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('It is a number above 0.');
}
