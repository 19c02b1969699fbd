import * as v from 'valibot';
import { GAUSSIAN_KINDS } from '../blur/kernel.ts';
import type { DegradationSettings } from './settings.ts';

const MAX_SIDE = 101;

const rangeOf = (low: number, high: number, rule: string) =>
  v.pipe(
    v.tuple([v.pipe(v.number(rule), v.finite(rule)), v.pipe(v.number(rule), v.finite(rule))], rule),
    v.readonly(),
    v.check(([a, b]) => a >= low && a <= b && b <= high, rule),
  );
const around1 = (rule: string) =>
  v.pipe(
    rangeOf(Number.MIN_VALUE, Number.MAX_VALUE, rule),
    v.check(([a, b]) => a <= 1 && b >= 1, rule),
  );
const PROBABILITY = 'a probability is from 0 to 1';
const probability = v.pipe(v.number(PROBABILITY), v.minValue(0, PROBABILITY), v.maxValue(1, PROBABILITY));
const WEIGHT = 'a weight is 0 or more';
const weight = v.pipe(v.number(WEIGHT), v.finite(WEIGHT), v.minValue(0, WEIGHT));
const SIZES = `sizes are odd whole numbers up to ${MAX_SIDE}, at least one`;
const size = v.pipe(
  v.number(SIZES),
  v.check((value) => Number.isSafeInteger(value) && value > 0 && value % 2 === 1 && value <= MAX_SIDE, SIZES),
);
const sizes = v.pipe(v.array(size, SIZES), v.minLength(1, SIZES), v.readonly());
const flag = v.boolean('it is true or false');

const positiveSum = (weights: Readonly<Record<string, number | undefined>>): boolean =>
  Object.values(weights).reduce<number>((a, b) => a + (b ?? 0), 0) > 0;
const KINDS = `kinds have weights, one of them above 0, by the names ${GAUSSIAN_KINDS.join(', ')}`;

const blur = v.strictObject({
  sizes,
  sincProbability: probability,
  kinds: v.pipe(
    v.record(v.picklist(GAUSSIAN_KINDS, KINDS), weight, KINDS),
    v.check((weights) => positiveSum(weights), KINDS),
  ),
  sigma: rangeOf(Number.MIN_VALUE, Number.MAX_VALUE, 'sigmas are two numbers above 0, the lower first'),
  generalizedShape: around1('shapes are two numbers above 0 with 1 between them'),
  plateauShape: around1('shapes are two numbers above 0 with 1 between them'),
});

const RESIZE = 'one of the weights up, down and keep is above 0';
const resize = v.pipe(
  v.strictObject({
    up: weight,
    down: weight,
    keep: weight,
    range: around1('factors are two numbers above 0 with 1 between them'),
  }),
  v.check(({ up, down, keep }) => positiveSum({ up, down, keep }), RESIZE),
);

const noise = v.strictObject({
  gaussianProbability: probability,
  sigma: rangeOf(0, Number.MAX_VALUE, 'sigmas are two numbers from 0, the lower first'),
  poissonScale: rangeOf(0, Number.MAX_VALUE, 'scales are two numbers from 0, the lower first'),
  grayProbability: probability,
});

const round = v.strictObject({
  blurProbability: probability,
  blur,
  resize,
  noise,
  jpegQuality: rangeOf(Number.MIN_VALUE, 100, 'qualities are two numbers above 0 and up to 100, the lower first'),
});

const SCALE = 'the scale is a number from 1';
const schema = v.strictObject({
  scale: v.pipe(v.number(SCALE), v.finite(SCALE), v.minValue(1, SCALE)),
  resizeBack: flag,
  sharpen: flag,
  first: round,
  second: round,
  finalSinc: v.strictObject({ probability, sizes }),
});

const checked = new WeakSet<object>();

/** Settings that are as they must be; `nameOf` says how their writer calls a field.
 * @throws at the first field that is not */
export function checkSettings(
  where: string,
  given: unknown,
  nameOf: (path: string) => string = (path) => path,
): DegradationSettings {
  // A training run asks with the same ones again and again.
  if (typeof given === 'object' && given !== null && checked.has(given)) return given as DegradationSettings;
  const result = v.safeParse(schema, given);
  if (!result.success) {
    const [issue] = result.issues;
    const path = v.getDotPath(issue) ?? 'settings';
    const got = JSON.stringify(issue.input) ?? 'nothing';
    throw new Error(`${where}: ${nameOf(path)}: ${issue.message}; got ${got}; compare with RASS_DEGRADATION`);
  }
  if (Object.isFrozen(given)) checked.add(given as object);
  return given as DegradationSettings;
}
