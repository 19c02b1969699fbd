import { type Golden, loadGolden } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import { decodeImage, flatten } from '../index.ts';

const golden: Golden = loadGolden('images/colours');
const { files, transparent } = golden.config as { files: string[]; transparent: string[] };

const bytesOf = (name: string): Uint8Array => Uint8Array.from(golden.raw(name).values);

function furthest(a: Uint8Array, b: Uint8Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

/** Little CMS of another version, and alpha rounded otherwise, are a level off; all else is equal. */
const allowed = (name: string): number =>
  /profile|display-p3|adobe|prophoto|srgb/.test(name) || transparent.includes(name) ? 1 : 0;

describe('decodeImage gives what Pillow gives, in sRGB', () => {
  it.each(files)('%s', async (name) => {
    const image = await decodeImage(bytesOf(`in/${name}`), { name });
    const { shape } = golden.raw(`out/${name}`);
    expect([image.height, image.width]).toEqual(shape.slice(0, 2));
    expect(image.alpha).toBeUndefined();
    expect(furthest(image.data, bytesOf(`out/${name}`))).toBeLessThanOrEqual(allowed(name));
  });

  it.each(transparent)('and keeps the alpha where that is asked for: %s', async (name) => {
    const image = await decodeImage(bytesOf(`in/${name}`), { name, background: 'keep' });
    expect(image.alpha).toEqual(bytesOf(`out/${name}/alpha`));
    expect(furthest(image.data, bytesOf(`out/${name}/straight`))).toBeLessThanOrEqual(
      /profile|display/.test(name) ? 1 : 0,
    );
    const [black] = [await decodeImage(bytesOf(`in/${name}`), { background: [0, 0, 0] })];
    expect(black).toEqual(flatten(image, [0, 0, 0]));
  });
});

it('gives the numbers of a file where its colours are none', async () => {
  const stored = await decodeImage(bytesOf('in/display-p3.png'), { colours: 'stored' });
  expect(stored.data).toEqual(bytesOf('out/interlaced.png'));
});
