import { exp, log } from './portable-math.ts';
import { type RandomStream, randomStream } from './random-stream.ts';

const LAYERS = 128;
/** Where the tail begins, and the area of each layer. */
const TAIL = 3.442619855899;
const AREA = 9.91256303526217e-3;
/** A layer's width is cut into so many steps: 24 bits with the sign. */
const STEPS = 8388608;

interface Ziggurat {
  /** Below this step a point is inside of its layer, whatever its height. */
  readonly inside: Float64Array;
  readonly width: Float64Array;
  readonly height: Float64Array;
}

function build(): Ziggurat {
  const [inside, width, height] = [0, 1, 2].map(() => new Float64Array(LAYERS));
  const density = (x: number): number => exp(-0.5 * x * x);
  let edge = TAIL;
  const base = AREA / density(TAIL);
  inside[0] = (TAIL / base) * STEPS;
  width[0] = base / STEPS;
  width[LAYERS - 1] = TAIL / STEPS;
  height[0] = 1;
  height[LAYERS - 1] = density(TAIL);
  for (let layer = LAYERS - 2; layer >= 1; layer--) {
    const next = Math.sqrt(-2 * log(AREA / edge + density(edge)));
    inside[layer + 1] = (next / edge) * STEPS;
    edge = next;
    height[layer] = density(edge);
    width[layer] = edge / STEPS;
  }
  return { inside, width, height };
}

let ziggurat: Ziggurat | undefined;

/** A number beyond the tail's beginning. */
function tail({ uniform }: RandomStream): number {
  for (;;) {
    const x = -log(1 - uniform()) / TAIL;
    const y = -log(1 - uniform());
    if (y + y >= x * x) return TAIL + x;
  }
}

/** Standard normal numbers of a seed. @source Marsaglia and Tsang, The Ziggurat Method; layer and step from bits of their own, as Doornik has it */
export function normals(count: number, seed: number): Float32Array<ArrayBuffer> {
  ziggurat ??= build();
  const { inside, width, height } = ziggurat;
  const random = randomStream(seed, 'normals');
  const { bits } = random;
  const out = new Float32Array(count);
  for (let i = 0; i < count; ) {
    const drawn = bits();
    const layer = drawn & (LAYERS - 1);
    const step = drawn >> 8;
    const x = step * width[layer];
    if (Math.abs(step) < inside[layer]) {
      out[i++] = x;
    } else if (layer === 0) {
      out[i++] = step < 0 ? -tail(random) : tail(random);
    } else if (height[layer] + random.uniform() * (height[layer - 1] - height[layer]) < exp(-0.5 * x * x)) {
      out[i++] = x;
    }
  }
  return out;
}
