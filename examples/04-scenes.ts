// Draws a sheet of procedural scenes, each beside its labels in ADE20K's colours.
//   pnpm example 04 [--scenes 24] [--size 160] [--out scenes.png]
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { drawScene, IGNORED, SCENE_CLASSES } from '@rass/scenes';
import { encode } from 'fast-png';

const { values } = parseArgs({
  options: {
    scenes: { type: 'string', default: '24' },
    size: { type: 'string', default: '160' },
    out: { type: 'string', default: 'scenes.png' },
  },
});
const [count, size] = [Number(values.scenes), Number(values.size)];
const COLUMNS = 8;
const GAP = 4;
const columns = Math.min(COLUMNS, 2 * count);
const rows = Math.ceil((2 * count) / columns);
const width = columns * (size + GAP) - GAP;
const height = rows * (size + GAP) - GAP;
const sheet = new Uint8Array(3 * width * height).fill(255);

/** Puts a picture of `size` pixels into its place on the sheet. */
function put(place: number, pixels: Uint8Array): void {
  const left = (place % columns) * (size + GAP);
  const top = Math.floor(place / columns) * (size + GAP);
  for (let y = 0; y < size; y++) {
    sheet.set(pixels.subarray(3 * y * size, 3 * (y + 1) * size), 3 * ((top + y) * width + left));
  }
}

const start = performance.now();
for (let seed = 0; seed < count; seed++) {
  const { image, labels } = drawScene({ seed, width: size, height: size });
  put(2 * seed, image.data);
  const colours = new Uint8Array(3 * size * size);
  labels.data.forEach((label, pixel) => {
    if (label !== IGNORED) colours.set(SCENE_CLASSES[label].colour, 3 * pixel);
  });
  put(2 * seed + 1, colours);
}
const milliseconds = (performance.now() - start) / count;
writeFileSync(values.out, encode({ width, height, data: sheet, channels: 3, depth: 8 }));
console.log(`${values.out}: ${count} scenes of ${size} x ${size} pixels, ${milliseconds.toFixed(0)} ms each`);
