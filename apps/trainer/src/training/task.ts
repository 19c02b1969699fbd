import type { RgbImage } from '@rass/images';
import type { ParameterGroup } from '@rass/training';
import type { Parts } from '@rass/training/node';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Sample } from '../samples/sample.ts';

/** What one batch has given. The gradients are the loop's to dispose of. */
export interface BatchResult {
  readonly terms: Readonly<Record<string, number>>;
  /** By the key of each variable. */
  readonly gradients: Readonly<Record<string, Tensor>>;
}

/** A picture with what it shows. */
export interface CaptionedPicture {
  readonly caption: string;
  readonly picture: RgbImage;
}

/** What a colour of a row's pictures stands for. */
export interface LegendEntry {
  readonly name: string;
  readonly colour: readonly [red: number, green: number, blue: number];
  /** Of all pixels. */
  readonly share: number;
}

/** One sample on a sheet. */
export interface SheetRow {
  readonly title: string;
  readonly pictures: readonly CaptionedPicture[];
  readonly legend?: readonly LegendEntry[];
}

export interface Validation {
  readonly metrics: Readonly<Record<string, number>>;
  readonly sheet: readonly SheetRow[];
}

/** Where in training a batch stands. */
export interface BatchPlace {
  /** Updates done before this one. */
  readonly step: number;
  /** Of the batches that make one update. */
  readonly part: number;
}

/** What the batches of one update know of each other. Plain data: it goes to other processes, too. */
export interface UpdateFacts {
  /** Masks of a batch on average, at least 1. */
  readonly numMasks?: number;
}

/** Something that is trained: the loop draws batches, sums gradients, updates, logs and saves. */
export interface TrainingTask {
  readonly groups: readonly ParameterGroup[];
  /** What of it changes beside the groups' variables and their optimiser, such as a second model. */
  readonly state?: Parts;
  /** What the batches of an update must know of each other; without, nothing. */
  factsOf?(parts: readonly (readonly Sample[])[]): UpdateFacts;
  /** Draws whatever is random by the place alone, so that a run that resumes goes the same way. */
  run(samples: readonly Sample[], place: BatchPlace, facts?: UpdateFacts): Promise<BatchResult>;
  /** Scores the present weights, and shows what they do. */
  validate?(samples: readonly Sample[], options: { readonly pictures: number }): Promise<Validation>;
  /** Writes the trained model: a folder, beside its place first. `samples`: those of the validation. */
  save(folder: string, samples: readonly Sample[]): Promise<void>;
  dispose(): void;
}
