import { DecoderError } from './decoder-error.ts';
import { compileModule, type Exports, type Instance, newInstance } from './instance.ts';
import { brokenProfile, MOST_PROFILE } from './profile-rules.ts';
import type { Raster } from './raster.ts';

interface ColourExports extends Exports {
  open(at: number, bytes: number): number;
  start(channels: number): void;
  convert(from: number, to: number, pixels: number): void;
}

const RGB = 3;
/** What is converted at once. */
const PIXELS = 2 ** 14;

let module: Promise<WebAssembly.Module> | undefined;

async function open(profile: Uint8Array, channels: number): Promise<Instance<ColourExports> | undefined> {
  module ??= import('./modules/colour.ts').then(({ MODULE }) => compileModule(MODULE));
  const instance = await newInstance<ColourExports>(await module);
  const { exports: lcms, put } = instance;
  try {
    if (lcms.open(put(profile), profile.length) !== channels) return undefined;
    lcms.start(channels);
    return instance;
  } catch (error) {
    if (!(error instanceof DecoderError || error instanceof WebAssembly.RuntimeError)) throw error;
    throw brokenProfile(error.message);
  }
}

function convert({ exports: lcms, reserve, view }: Instance<ColourExports>, channels: number, data: Uint8Array) {
  const [from, to] = [reserve(PIXELS * channels), reserve(PIXELS * RGB)];
  const pixels = data.length / channels;
  const out = new Uint8Array(RGB * pixels);
  for (let at = 0; at < pixels; at += PIXELS) {
    const count = Math.min(PIXELS, pixels - at);
    view(from, count * channels).set(data.subarray(at * channels, (at + count) * channels));
    lcms.convert(from, to, count);
    out.set(view(to, count * RGB), at * RGB);
  }
  return out;
}

/** Colours from all over the cube. @shape [17^3, 3] */
function probe(): Uint8Array {
  const levels = Array.from({ length: 17 }, (_, i) => Math.min(255, 16 * i));
  return Uint8Array.from(levels.flatMap((r) => levels.flatMap((g) => levels.flatMap((b) => [r, g, b]))));
}

/** Most profiles are sRGB's own: what they convert to differs by their roundings alone. */
function isSrgb(instance: Instance<ColourExports>): boolean {
  const colours = probe();
  return convert(instance, RGB, colours).every((value, i) => Math.abs(value - colours[i]!) <= 1);
}

/** The colours of a picture in sRGB, as its profile has them; undefined where the profile is for other colours than the picture's, or is sRGB's.
 * @throws when the profile is broken @source Little CMS, perceptual, as Pillow's ImageCms.profileToProfile */
export async function throughProfile({ channels, data }: Raster, profile: Uint8Array): Promise<Uint8Array | undefined> {
  if (profile.length > MOST_PROFILE) {
    throw new Error(
      `a colour profile has at most ${MOST_PROFILE} bytes; got ${profile.length}; save the image without it`,
    );
  }
  const instance = await open(profile, channels);
  if (instance === undefined || (channels === RGB && isSrgb(instance))) return undefined;
  return convert(instance, channels, data);
}
