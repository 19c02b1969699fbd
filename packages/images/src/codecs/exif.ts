const ORIENTATION = 0x0112;
const SHORT = 3;
const LITTLE = 0x4949;
const BIG = 0x4d4d;
const MAGIC = 42;
const ENTRY_BYTES = 12;
/** Some writers of PNG and WebP keep the name that stands before it in a JPEG. */
const NAME = 'Exif\0\0';

/** How the camera was held, 1 to 8, or undefined where that is not said. Broken EXIF says nothing: the picture is whole without.
 * @source EXIF 2.32, TIFF 6.0: the first directory */
export function orientationOf(exif: Uint8Array): number | undefined {
  const named = String.fromCharCode(...exif.subarray(0, NAME.length)) === NAME;
  const bytes = named ? exif.subarray(NAME.length) : exif;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 8) return undefined;
  const order = view.getUint16(0);
  if (order !== LITTLE && order !== BIG) return undefined;
  const little = order === LITTLE;
  if (view.getUint16(2, little) !== MAGIC) return undefined;
  const directory = view.getUint32(4, little);
  if (directory + 2 > bytes.length) return undefined;
  const count = view.getUint16(directory, little);
  for (let i = 0; i < count; i++) {
    const at = directory + 2 + i * ENTRY_BYTES;
    if (at + ENTRY_BYTES > bytes.length) return undefined;
    if (view.getUint16(at, little) !== ORIENTATION) continue;
    return view.getUint16(at + 2, little) === SHORT ? view.getUint16(at + 8, little) : undefined;
  }
  return undefined;
}
