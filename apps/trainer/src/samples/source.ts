import type { Colour, LabelMap, RgbImage } from '@rass/images';

/** A class of a source's labels. */
export interface SampleClass {
  readonly name: string;
  readonly colour: Colour;
}

/** An image as its source has it. */
export interface RawSample {
  readonly id: string;
  readonly image: RgbImage;
  readonly labels?: LabelMap;
  /** Where the source has pairs: the bad photograph, which nothing else degrades then. */
  readonly degraded?: RgbImage;
}

/** Where raw samples come from. */
export interface SampleSource {
  /** How many there are; undefined: no end. */
  readonly length: number | undefined;
  /** Of its labels; none where it has no labels. */
  readonly classes: readonly SampleClass[];
  get(index: number): Promise<RawSample>;
}
