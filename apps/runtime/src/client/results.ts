import { heatMap, resizeMap } from '@rass/attention-alignment';
import { IGNORE_LABEL, overlayLabels, type RgbImage } from '@rass/images';
import type { TagAttention } from '@rass/pipeline';
import type { ModelClass } from '../protocol/messages.ts';

const OPAQUE = 255;

/** An image with alpha, as canvases take it. */
function imageData({ width, height, data }: RgbImage): ImageData {
  const out = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    out.data.set(data.subarray(3 * i, 3 * i + 3), 4 * i);
    out.data[4 * i + 3] = OPAQUE;
  }
  return out;
}

async function blobOf(image: ImageData, type: string, quality: number | undefined): Promise<Blob> {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext('2d')!.putImageData(image, 0, 0);
  return canvas.convertToBlob({ type, ...(quality !== undefined && { quality }) });
}

/** A picture that came out; it is converted when it is asked for. */
export class Picture {
  readonly width: number;
  readonly height: number;
  /** Red, green, blue, row by row. */
  readonly pixels: Uint8Array;

  constructor({ width, height, data }: RgbImage) {
    this.width = width;
    this.height = height;
    this.pixels = data;
  }

  get #rgb(): RgbImage {
    return { width: this.width, height: this.height, data: this.pixels };
  }

  toImageData(): ImageData {
    return imageData(this.#rgb);
  }

  /** A file of the picture; default PNG. `quality`: of JPEG and WebP, from 0 to 1. */
  toBlob(type = 'image/png', quality?: number): Promise<Blob> {
    return blobOf(this.toImageData(), type, quality);
  }

  toImageBitmap(): Promise<ImageBitmap> {
    return createImageBitmap(this.toImageData());
  }
}

/** A class that a photograph has somewhere. */
export interface FoundClass extends ModelClass {
  readonly label: number;
  readonly pixels: number;
  /** Of all pixels. */
  readonly share: number;
}

/** What each pixel is. Lists, masks and pictures are made when they are asked for. */
export class Segmentation {
  readonly width: number;
  readonly height: number;
  /** The number of each pixel's class. */
  readonly labels: Uint8Array;
  readonly #classes: readonly ModelClass[];
  #found: readonly FoundClass[] | undefined;

  constructor(size: { width: number; height: number }, labels: Uint8Array, classes: readonly ModelClass[]) {
    this.width = size.width;
    this.height = size.height;
    this.labels = labels;
    this.#classes = classes;
  }

  /** The classes that are there, the largest first. */
  get classes(): readonly FoundClass[] {
    this.#found ??= this.#count();
    return this.#found;
  }

  #count(): FoundClass[] {
    const counts = new Array<number>(IGNORE_LABEL + 1).fill(0);
    for (const label of this.labels) counts[label]! += 1;
    return this.#classes
      .map((each, label) => ({ ...each, label, pixels: counts[label]!, share: counts[label]! / this.labels.length }))
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
    throw new Error(`runtime: a mask is of a class; got ${JSON.stringify(which)}; the model has ${names}`);
  }

  /** White where a class is, transparent elsewhere. @throws when the model has no such class */
  mask(which: number | string): ImageData {
    const label = this.#label(which);
    const out = new ImageData(this.width, this.height);
    this.labels.forEach((each, i) => {
      if (each === label) out.data.fill(OPAQUE, 4 * i, 4 * i + 4);
    });
    return out;
  }

  /** The classes' colours, to be laid over the photograph. `opacity`: of all, from 0 to 1. */
  toImageData(opacity = 1): ImageData {
    const out = new ImageData(this.width, this.height);
    this.labels.forEach((label, i) => {
      const colour = this.#classes[label]?.colour;
      if (colour !== undefined) out.data.set([...colour, Math.round(opacity * OPAQUE)], 4 * i);
    });
    return out;
  }

  /** A picture of this size with the classes' colours over it. @throws when it has another size */
  overlay(picture: Picture, opacity = 0.55): Picture {
    const { width, height, labels } = this;
    const image = { width: picture.width, height: picture.height, data: picture.pixels };
    const colours = this.#classes.map(({ colour }) => colour);
    return new Picture(overlayLabels(image, { width, height, data: labels }, colours, opacity));
  }

  toBlob(type = 'image/png', quality?: number): Promise<Blob> {
    return blobOf(this.toImageData(), type, quality);
  }
}

/** Where the model looks for each tag of a photograph. */
export class Attention {
  /** Of the photograph. */
  readonly width: number;
  readonly height: number;
  readonly tags: readonly string[];
  readonly #maps: ReadonlyMap<string, TagAttention>;

  constructor(size: { width: number; height: number }, maps: readonly TagAttention[]) {
    this.width = size.width;
    this.height = size.height;
    this.tags = maps.map(({ tag }) => tag);
    this.#maps = new Map(maps.map((map) => [map.tag, map]));
  }

  /** The tag's share of the attention to all tags, cell by cell of a coarse map. @throws when it was not asked for */
  map(tag: string): TagAttention {
    const found = this.#maps.get(tag);
    if (found !== undefined) return found;
    throw new Error(`runtime: attention is to a tag that was asked for; got "${tag}"; it was ${this.tags.join(', ')}`);
  }

  /** The tag's map as heat, of the photograph's size; cold is transparent, so that it can be laid over it. @throws as map */
  toImageData(tag: string): ImageData {
    const { width, height, values } = this.map(tag);
    const { data } = heatMap(values, [height, width], { size: [this.height, this.width], max: 1 });
    const out = new ImageData(this.width, this.height);
    const shares = resizeMap(values, [height, width], [this.height, this.width]);
    out.data.set(data);
    shares.forEach((share, i) => {
      out.data[4 * i + 3] = OPAQUE * Math.min(1, share);
    });
    return out;
  }

  toBlob(tag: string, type = 'image/png', quality?: number): Promise<Blob> {
    return blobOf(this.toImageData(tag), type, quality);
  }
}
