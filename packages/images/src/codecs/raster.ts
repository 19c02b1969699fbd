/** A picture as its file has it: before its profile, its orientation and its alpha are heeded. */
export interface Raster {
  readonly width: number;
  readonly height: number;
  /** 1: grey; 3: red, green and blue; 4: inks, 255 being none. */
  readonly channels: 1 | 3 | 4;
  /** @shape [H, W, channels] */
  readonly data: Uint8Array;
  /** @shape [H, W]; without it all is opaque */
  readonly alpha?: Uint8Array;
  /** An ICC profile. */
  readonly profile?: Uint8Array;
  /** EXIF's bytes, from the order of bytes on. */
  readonly exif?: Uint8Array;
}

/** The size that a header claims. */
export interface Claimed {
  readonly width: number;
  readonly height: number;
}

/** Is told the size before anything is decoded. @throws when it is too large */
export type CheckSize = (size: Claimed) => void;

/** Takes apart what a decoder gives interleaved: colours, and alpha behind them. @shape [H, W, colours + 1] */
export function splitAlpha(
  data: Uint8Array,
  colours: 1 | 3,
): { readonly data: Uint8Array; readonly alpha: Uint8Array } {
  const pixels = data.length / (colours + 1);
  const [out, alpha] = [new Uint8Array(pixels * colours), new Uint8Array(pixels)];
  let at = 0;
  let to = 0;
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < colours; c++) out[to++] = data[at++]!;
    alpha[i] = data[at++]!;
  }
  return { data: out, alpha };
}
