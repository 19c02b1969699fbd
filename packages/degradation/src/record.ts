import * as v from 'valibot';
import { GAUSSIAN_KINDS, type KernelRecord } from './blur/kernel.ts';
import type { NoiseRecord } from './noise.ts';
import { RESIZE_MODES, type ResizeRecord } from './resize.ts';

/** What one round has drawn. */
export interface RoundRecord {
  /** Null where the round does not blur. */
  readonly blur: KernelRecord | null;
  readonly resize: ResizeRecord;
  readonly noise: NoiseRecord;
  readonly jpegQuality: number;
}

/** Everything that was drawn for an image: plain data, from which it is degraded again to the byte. */
export interface DegradationRecord {
  /** The input's size. */
  readonly width: number;
  readonly height: number;
  readonly sharpen: boolean;
  readonly first: RoundRecord;
  readonly second: RoundRecord;
  readonly final: {
    /** Whether the second round's JPEG comes after the final resize and sinc filter, or before. */
    readonly jpegLast: boolean;
    readonly resize: ResizeRecord;
    readonly sinc: KernelRecord | null;
  };
  /** Null where the image stays at its final size. */
  readonly resizeBack: ResizeRecord | null;
}

const number = v.pipe(v.number(), v.finite());
const whole = v.pipe(number, v.safeInteger());
const side = v.pipe(whole, v.minValue(1));
const above0 = v.pipe(
  number,
  v.check((value) => value > 0, 'a number above 0'),
);

const sinc = v.strictObject({ kind: v.literal('sinc'), size: side, cutoff: above0 });
const gaussian = v.strictObject({
  kind: v.picklist(GAUSSIAN_KINDS),
  size: side,
  sigmaX: above0,
  sigmaY: above0,
  angle: number,
  shape: above0,
});
const kernel = v.nullable(v.variant('kind', [sinc, gaussian]));
const resize = v.strictObject({
  mode: v.picklist(RESIZE_MODES),
  width: side,
  height: side,
  factor: v.exactOptional(above0),
});
const noise = v.variant('kind', [
  v.strictObject({ kind: v.literal('gaussian'), sigma: number, gray: v.boolean(), seed: whole }),
  v.strictObject({ kind: v.literal('poisson'), scale: number, gray: v.boolean(), seed: whole }),
]);
const round = v.strictObject({ blur: kernel, resize, noise, jpegQuality: v.pipe(above0, v.maxValue(100)) });
const schema = v.strictObject({
  width: side,
  height: side,
  sharpen: v.boolean(),
  first: round,
  second: round,
  final: v.strictObject({ jpegLast: v.boolean(), resize, sinc: kernel }),
  resizeBack: v.nullable(resize),
});

/** @throws at the first field that is not as degrade has written it */
export function checkRecord(where: string, given: unknown): DegradationRecord {
  const result = v.safeParse(schema, given);
  if (result.success) return given as DegradationRecord;
  const [issue] = result.issues;
  const got = JSON.stringify(issue.input) ?? 'nothing';
  const path = v.getDotPath(issue) ?? 'record';
  throw new Error(`${where}: ${path}: ${issue.message}; got ${got}; give a record that degrade has returned`);
}
