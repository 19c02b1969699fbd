/** What is read. */
export type Format = 'JPEG' | 'PNG' | 'WebP';
export const FORMATS = 'JPEG, PNG and WebP';

const startsWith = (bytes: Uint8Array, text: string, at = 0): boolean =>
  [...text].every((letter, i) => bytes[at + i] === letter.charCodeAt(0));

const READ: Readonly<Record<Format, (bytes: Uint8Array) => boolean>> = {
  JPEG: (bytes) => startsWith(bytes, '\xff\xd8\xff'),
  PNG: (bytes) => startsWith(bytes, '\x89PNG\r\n\x1a\n'),
  WebP: (bytes) => startsWith(bytes, 'RIFF') && startsWith(bytes, 'WEBP', 8),
};

/** ISO's media files say after "ftyp" what they are. */
const brandOf = (bytes: Uint8Array): string =>
  startsWith(bytes, 'ftyp', 4) ? String.fromCharCode(...bytes.subarray(8, 12)) : '';

/** What people have besides, so that errors name it. */
const OTHERS: readonly (readonly [name: string, is: (bytes: Uint8Array) => boolean])[] = [
  ['a HEIC image', (bytes) => /^(hei[cxms]|hev[cx]|mif1|msf1)$/.test(brandOf(bytes))],
  ['an AVIF image', (bytes) => /^avi[fs]$/.test(brandOf(bytes))],
  ['a TIFF image or a raw photograph', (bytes) => startsWith(bytes, 'II*\0') || startsWith(bytes, 'MM\0*')],
  ['a GIF image', (bytes) => startsWith(bytes, 'GIF8')],
  ['a BMP image', (bytes) => startsWith(bytes, 'BM')],
  ['a JPEG 2000 image', (bytes) => startsWith(bytes, '\0\0\0\x0cjP  ')],
  ['a JPEG XL image', (bytes) => startsWith(bytes, '\xff\x0a') || startsWith(bytes, '\0\0\0\x0cJXL ')],
  ['an SVG drawing', (bytes) => startsWith(bytes, '<svg') || startsWith(bytes, '<?xml')],
  ['a web page', (bytes) => startsWith(bytes, '<!DOCTYPE') || startsWith(bytes, '<html')],
  ['a pointer of Git LFS instead of the file', (bytes) => startsWith(bytes, 'version https://git-lfs')],
];

/** By the first bytes, whatever a file is called: a format that is read, or undefined. */
export const formatOf = (bytes: Uint8Array): Format | undefined =>
  (Object.keys(READ) as Format[]).find((format) => READ[format](bytes));

/** What came instead of a picture. */
const INSTEAD = ['a web page', 'a pointer of Git LFS instead of the file'];

/** What bytes are that are in no format that is read, and what helps. */
export function otherThan(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'an empty file; fetch it anew';
  const name = OTHERS.find(([, is]) => is(bytes))?.[0] ?? 'something else';
  return `${name}; ${INSTEAD.includes(name) ? 'fetch the picture itself' : 'convert it'}`;
}
