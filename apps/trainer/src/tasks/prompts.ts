import { presentClasses, type TagPrompt, tagPrompt } from '@rass/attention-alignment';
import type { Tokenizer } from '@rass/text-encoder';
import type { Sample } from '../samples/sample.ts';
import type { BatchPlace } from '../training/task.ts';
import { seedAt, sharesAt } from './draws.ts';

/** What a sample is prompted with. */
export interface SamplePrompt extends TagPrompt {
  /** The class of each tag. */
  readonly classes: readonly number[];
}

export interface PromptRules {
  /** `labels`: the classes that are there; `none`: nothing. */
  readonly tags: 'labels' | 'none';
  /** How often a sample has no prompt all the same. */
  readonly dropPrompt: number;
  readonly seed: number;
}

const NOTHING: SamplePrompt = { text: '', tags: [], dropped: [], classes: [] };

/** The prompts of a batch: the names of the classes that each sample has, mixed. Without a place, as for a validation, in order of their size. */
export function promptsOf(
  samples: readonly Sample[],
  classNames: readonly string[],
  tokenizer: Pick<Tokenizer, 'tokenize'>,
  { tags, dropPrompt, seed }: PromptRules,
  place?: BatchPlace,
): SamplePrompt[] {
  if (tags === 'none') return samples.map(() => NOTHING);
  const drops = place === undefined ? [] : sharesAt(seed, 'drop prompt', place, samples.length);
  return samples.map(({ labels }, i) => {
    if (labels === undefined || (drops[i] ?? 1) < dropPrompt) return NOTHING;
    const { width, height, data } = labels;
    const present = presentClasses({ size: [height, width], labels: data });
    const names = present.map((label) => classNames[label]!);
    const shuffle = place && seedAt(seed, `tags of ${i},`, place);
    const prompt = tagPrompt(names, (text) => tokenizer.tokenize(text), { shuffle });
    return { ...prompt, classes: prompt.tags.map(({ tag }) => classNames.indexOf(tag)) };
  });
}
