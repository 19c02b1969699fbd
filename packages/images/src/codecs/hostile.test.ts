import { type Golden, loadGolden } from '@rass/testkit';
import { describe, expect, it, vi } from 'vitest';
import { decodeImage, decodeLabels, encodePng } from '../index.ts';

const golden: Golden = loadGolden('images/hostile');
const bytesOf = (name: string): Uint8Array => Uint8Array.from(golden.raw(`in/${name}`).values);

const corrupt = (reason: string): string =>
  `x: an image is whole; got one that ends early or is corrupt (${reason}); fetch it anew`;
const broken = (reason: string): string =>
  `x: a colour profile is whole; got one that is broken (${reason}); save the image without it`;

/** Each is told by its own reason, before it takes the time or the memory that it claims. */
const REASONS: Readonly<Record<string, string>> = {
  'cgbi.png': 'x: an image is of a kind that is read; got another (CgBI: unhandled critical chunk); convert it',
  'zero.png': corrupt('Image height is zero in IHDR'),
  'zero-height.png': corrupt('Image height is zero in IHDR'),
  'no-palette.png': corrupt('IDAT: Missing PLTE before IDAT'),
  'profile-bomb.png': broken("iCCP: profile 'a': 0h: too short"),
  'data-bomb.png': corrupt('more pixels than its size has'),
  'no-end.png': corrupt('it ends early'),
  'claims.png': corrupt('Not enough image data'),
  'claims.jpg': corrupt('Corrupt JPEG data: premature end of data segment'),
  'claims-progressive.jpg': corrupt('Corrupt JPEG data: premature end of data segment'),
  'cut.jpg': corrupt('Premature end of JPEG file'),
  'scans.jpg':
    'x: an image is drawn in few passes; got one that is not (it goes over its pixels more than 40 times); save it anew',
  'broken-profile.png': broken('iCCP: too short'),
  'cut.webp': corrupt('it ends early'),
};

describe('small files that claim much are refused', () => {
  it.each(Object.entries(REASONS))('%s', async (name, reason) => {
    await expect(decodeImage(bytesOf(name), { name: 'x' })).rejects.toThrow(reason);
  });

  it('text that would be inflated is not looked at', async () => {
    expect(await decodeImage(bytesOf('text-bomb.png'))).toEqual({ width: 1, height: 1, data: new Uint8Array(3) });
  });

  it('labels are no way around', async () => {
    for (const name of ['cgbi.png', 'zero.png', 'no-palette.png']) {
      await expect(decodeLabels(bytesOf(name), { name: 'x' })).rejects.toThrow(REASONS[name]);
    }
  });
});

it('names what an image is that is not read', async () => {
  const ascii = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const kinds: [string, string][] = [
    ['\0\0\0\x18ftypheic', 'a HEIC image; convert it'],
    ['\0\0\0\x18ftypavif', 'an AVIF image; convert it'],
    ['II*\0\x08\0\0\0', 'a TIFF image or a raw photograph; convert it'],
    ['GIF89a', 'a GIF image; convert it'],
    [
      'version https://git-lfs.github.com/spec/v1',
      'a pointer of Git LFS instead of the file; fetch the picture itself',
    ],
    ['<!DOCTYPE html>', 'a web page; fetch the picture itself'],
  ];
  for (const [start, what] of kinds) {
    await expect(decodeImage(ascii(start), { name: 'x' })).rejects.toThrow(
      `x: images are JPEG, PNG and WebP; got ${what}`,
    );
  }
});

it('tells each cut of a file from the whole one', async () => {
  const files = [encodePng({ width: 5, height: 4, data: new Uint8Array(60).map((_, i) => 40 * i) })];
  for (const name of ['cut.jpg', 'cut.webp']) files.push(bytesOf(name));
  for (const file of files) {
    for (let end = 0; end < file.length; end += 7) {
      await expect(decodeImage(file.subarray(0, end), { name: 'x' })).rejects.toThrow(/^x: /);
    }
  }
});

describe('memory that is refused is not taken for a broken file', () => {
  const thrownBy = (work: () => unknown): Error => {
    try {
      work();
    } catch (error) {
      return error as Error;
    }
    throw new Error('there is that much');
  };
  const REFUSED: readonly (readonly [string, Error])[] = [
    ['a buffer', thrownBy(() => new ArrayBuffer(2 ** 53 - 1))],
    ['an array', thrownBy(() => new Uint8Array(2 ** 52))],
    ['a module', new RangeError('WebAssembly.Memory(): could not allocate memory')],
  ];

  it.each(REFUSED)('%s', async (_, error) => {
    const start = vi.spyOn(WebAssembly, 'instantiate').mockRejectedValueOnce(error);
    const image = decodeImage(bytesOf('cut.jpg'), { name: 'x' });
    await expect(image).rejects.toThrow(
      `x: an image fits into memory; got one that does not (${error.message}); make it smaller`,
    );
    expect(start).toHaveBeenCalledOnce();
    start.mockRestore();
  });
});
