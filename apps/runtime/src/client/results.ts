import { heatMap, resizeMap } from '@rass/attention-alignment';
import { IGNORE_LABEL } from '@rass/images';
import { RuntimeError } from '../protocol/errors.ts';
import type { ModelClass, PixelImage, TagMap } from '../protocol/messages.ts';
import { bitmapOf, blobOf, imageData, imageInSlices, OPAQUE, STEP, wordsOf } from './pictures.ts';
import { inSlices } from './slices.ts';

/** A picture that came out; it is converted when it is asked for, a little at a time. */
export class Picture {
  readonly width: number;
  readonly height: number;
  /** Red, green, blue, row by row. */
  readonly pixels: Uint8Array;
  /** How opaque each pixel is, 0 to 255, where the photograph was transparent somewhere. */
  readonly alpha: Uint8Array | undefined;

  constructor({ width, height, data, alpha }: PixelImage) {
    this.width = width;
    this.height = height;
    this.pixels = data;
    this.alpha = alpha;
  }

  toImageData(): Promise<ImageData> {
    const { width, height, pixels: data, alpha } = this;
    return imageData({ width, height, data, ...(alpha && { alpha }) });
  }

  /** A file of the picture; default PNG. `quality`: of JPEG and WebP, from 0 to 1. */
  async toBlob(type = 'image/png', quality?: number): Promise<Blob> {
    return blobOf(await this.toImageData(), type, quality);
  }

  async toImageBitmap(): Promise<ImageBitmap> {
    return bitmapOf(await this.toImageData());
  }
}

/** A class that a photograph has somewhere. */
export interface FoundClass extends ModelClass {
  readonly label: number;
  readonly pixels: number;
  /** Of all pixels. */
  readonly share: number;
}

/** The labels of a photograph, and how many pixels have each. */
interface Labelled {
  readonly labels: Uint8Array;
  readonly counts: readonly number[];
  readonly note?: string | undefined;
}

/** What each pixel is. Masks and pictures are made when they are asked for, a little at a time. */
export class Segmentation {
  readonly width: number;
  readonly height: number;
  /** The number of each pixel's class. */
  readonly labels: Uint8Array;
  /** The classes that are there, the largest first. */
  readonly classes: readonly FoundClass[];
  /** In a sentence, at which size the photograph was seen where its longer side was too long. */
  readonly note: string | undefined;
  readonly #classes: readonly ModelClass[];

  constructor(
    size: { width: number; height: number },
    { labels, counts, note }: Labelled,
    classes: readonly ModelClass[],
  ) {
    this.width = size.width;
    this.height = size.height;
    this.labels = labels;
    this.note = note;
    this.#classes = classes;
    this.classes = classes
      .map((each, label) => ({
        ...each,
        label,
        pixels: counts[label] ?? 0,
        share: (counts[label] ?? 0) / labels.length,
      }))
      .filter(({ pixels }) => pixels > 0)
      .sort((a, b) => b.pixels - a.pixels || a.label - b.label);
  }

  /** The class of a pixel; undefined outside, and where it is none. */
  classAt(x: number, y: number): FoundClass | undefined {
    if (!(x >= 0 && y >= 0 && x < this.width && y < this.height)) return undefined;
    const label = this.labels[Math.floor(y) * this.width + Math.floor(x)];
    return this.classes.find((each) => each.label === label);
  }

  #label(which: number | string): number {
    const label = typeof which === 'number' ? which : this.#classes.findIndex(({ name }) => name === which);
    if (label in this.#classes) return label;
    const names = this.#classes.map(({ name }) => name).join(', ');
    throw new RuntimeError(
      'BadOption',
      `runtime: a mask is of a class; got ${JSON.stringify(which)}; the model has ${names}`,
    );
  }

  /** The pixels of each label in a colour of 32 bits, 0 where it has none. */
  #painted(colours: readonly number[]): Promise<ImageData> {
    const byLabel = Uint32Array.from({ length: IGNORE_LABEL + 1 }, (_, label) => colours[label] ?? 0);
    return imageInSlices(this.width, this.height, (image, start, end) => {
      const words = wordsOf(image);
      for (let i = start; i < end; i++) words[i] = byLabel[this.labels[i]!]!;
    });
  }

  /** White where a class is, transparent elsewhere. @throws RuntimeError when the model has no such class */
  async mask(which: number | string): Promise<ImageData> {
    const label = this.#label(which);
    return this.#painted(this.#classes.map((_, each) => (each === label ? 0xffffffff : 0)));
  }

  /** The classes' colours, to be laid over the photograph. `opacity`: of all, from 0 to 1. */
  toImageData(opacity = 1): Promise<ImageData> {
    const alpha = Math.round(opacity * OPAQUE) << 24;
    return this.#painted(
      this.#classes.map(({ colour: [red, green, blue] }) => red | (green << 8) | (blue << 16) | alpha),
    );
  }

  /** A picture of this size with the classes' colours over it. @throws RuntimeError when it has another size */
  async overlay(picture: Picture, opacity = 0.55): Promise<Picture> {
    const { width, height, labels } = this;
    if (picture.width !== width || picture.height !== height) {
      const sizes = `${picture.width} x ${picture.height} for ${width} x ${height}`;
      throw new RuntimeError(
        'BadOption',
        `runtime: a picture under labels has their size; got ${sizes}; restore without upscale`,
      );
    }
    const { pixels, alpha } = picture;
    const data = new Uint8Array(pixels.length);
    await inSlices(labels.length, STEP, (start, end) => {
      for (let i = start; i < end; i++) {
        const colour = this.#classes[labels[i]!]?.colour;
        for (let at = 3 * i; at < 3 * i + 3; at++) {
          const value = pixels[at]!;
          data[at] = colour === undefined ? value : Math.round(value * (1 - opacity) + colour[at - 3 * i]! * opacity);
        }
      }
    });
    return new Picture({ width, height, data, ...(alpha && { alpha }) });
  }

  async toBlob(type = 'image/png', quality?: number): Promise<Blob> {
    return blobOf(await this.toImageData(), type, quality);
  }
}

/** Where the model looks for each tag of a photograph. */
export class Attention {
  /** Of the photograph. */
  readonly width: number;
  readonly height: number;
  readonly tags: readonly string[];
  readonly #maps: ReadonlyMap<string, TagMap>;

  constructor(size: { width: number; height: number }, maps: readonly TagMap[]) {
    this.width = size.width;
    this.height = size.height;
    this.tags = maps.map(({ tag }) => tag);
    this.#maps = new Map(maps.map((map) => [map.tag, map]));
  }

  /** The tag's share of the attention to all tags, cell by cell of a coarse map. @throws RuntimeError when it was not asked for */
  map(tag: string): TagMap {
    const found = this.#maps.get(tag);
    if (found !== undefined) return found;
    throw new RuntimeError(
      'BadOption',
      `runtime: attention is to a tag that was asked for; got "${tag}"; it was ${this.tags.join(', ')}`,
    );
  }

  /** The tag's map as heat, of the photograph's size; cold is transparent, so that it can be laid over it. @throws as map */
  async toImageData(tag: string): Promise<ImageData> {
    const { width: columns, height: cells, values } = this.map(tag);
    const [width, height] = [this.width, this.height];
    const image = new ImageData(width, height);
    const rows = Math.max(1, Math.floor(STEP / 32 / width));
    await inSlices(height, rows, (first, end) => {
      const { data } = heatMap(values, [cells, columns], { size: [height, width], max: 1, rows: [first, end] });
      const shares = resizeMap(values, [cells, columns], [height, width], 'linear', { rows: [first, end] });
      shares.forEach((share, i) => {
        data[4 * i + 3] = OPAQUE * Math.min(1, share);
      });
      image.data.set(data, 4 * first * width);
    });
    return image;
  }

  async toBlob(tag: string, type = 'image/png', quality?: number): Promise<Blob> {
    return blobOf(await this.toImageData(tag), type, quality);
  }
}
