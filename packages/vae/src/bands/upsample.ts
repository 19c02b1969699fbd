import type { Conv2d } from '@rass/nn';
import { type Tensor4D, tidy } from '@tensorflow/tfjs-core';
import { costOf } from '../stages.ts';
import { foldedUpsampler, upsampleConv } from '../upsample.ts';
import type { Work } from '../work.ts';
import { type Bands, freeAbove, takeRows } from './bands.ts';
import type { BandContext } from './context.ts';
import { tooNarrow } from './convolution.ts';

/** How many rows of x to double at a time, so that no tensor on the way is over the limit. */
function rowsAtATime(x: Bands, { weight }: Conv2d, { maxTensorBytes, at }: BandContext): number {
  const [, , inputs, outputs] = weight.shape;
  const inputRow = 4 * (x.width + 2) * inputs;
  const outputRow = 4 * (x.width + 1) * outputs;
  const rows = Math.min(Math.floor(maxTensorBytes / inputRow) - 2, Math.floor(maxTensorBytes / outputRow) - 1);
  if (rows < 1) throw tooNarrow(at, Math.max(3 * inputRow, 2 * outputRow), maxTensorBytes);
  return Math.min(rows, x.height);
}

/** Twice the size and a convolution, band by band, each with the rows next to it. */
export function* upsampleBands(x: Bands, conv: Conv2d, c: BandContext): Work<Bands> {
  const { held, at } = c;
  const folded = foldedUpsampler(conv);
  held.hold(folded.weight);
  if (folded.bias !== undefined) held.hold(folded.bias);
  const size = rowsAtATime(x, folded, c);
  const result: Bands = { height: 2 * x.height, width: 2 * x.width, channels: conv.weight.shape[3], strips: [] };
  for (let from = 0; from < x.height; from += size) {
    const to = Math.min(x.height, from + size);
    const made = tidy((): Tensor4D => {
      const seen = takeRows(x, Math.max(0, from - 1), Math.min(x.height, to + 1));
      return upsampleConv(folded, seen, [from === 0 ? 1 : 0, to === x.height ? 1 : 0]);
    });
    result.strips.push({ from: 2 * from, rows: held.hold(made) });
    freeAbove(x, to === x.height ? to : to - 1, held);
    yield { cost: costOf({ kind: 'upsample', conv }, [to - from, x.width]), at, made };
  }
  held.free(folded.weight);
  if (folded.bias !== undefined) held.free(folded.bias);
  return result;
}
