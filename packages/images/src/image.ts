/** Red, green and blue from 0 to 255, interleaved, row by row. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
  /** How opaque each pixel is, 0 to 255, row by row; the colours are not multiplied by it. Without it all are opaque. */
  readonly alpha?: Uint8Array;
}

/** Classes row by row; IGNORE_LABEL where there is none. */
export interface LabelMap {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

export type Colour = readonly [red: number, green: number, blue: number];

/** The label of pixels that learning and measuring leave out. */
export const IGNORE_LABEL = 255;
