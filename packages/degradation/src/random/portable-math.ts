// Engines round Math.exp and its kind as they like. These use only what IEEE 754 fixes, so that they are the same to the bit everywhere.

const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;
// Three parts of pi / 2, the first two with zeros at their ends: their multiples by small whole numbers are exact.
const HALF_PI_PARTS = [1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21] as const;

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);
const HIGH_WORD = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1 ? 1 : 0;

/** 2 to a whole power from -1022 to 1023. */
function powerOfTwo(exponent: number): number {
  double[0] = 0;
  words[HIGH_WORD] = (exponent + 1023) << 20;
  return double[0];
}

const inverseFactorials = [1];
for (let n = 1; n <= 19; n++) inverseFactorials.push(inverseFactorials[n - 1] / n);

/** e to the power x, with 0 below the normal numbers. */
export function exp(x: number): number {
  if (x > 709) return Number.POSITIVE_INFINITY;
  if (!(x > -708)) return Number.isNaN(x) ? x : 0;
  const k = Math.round(x / LN2_HIGH);
  const r = x - k * LN2_HIGH - k * LN2_LOW;
  let sum = 0;
  for (let n = 14; n >= 0; n--) sum = sum * r + inverseFactorials[n];
  return sum * powerOfTwo(k);
}

/** The natural logarithm of a normal number above 0. */
export function log(x: number): number {
  double[0] = x;
  let exponent = (words[HIGH_WORD] >>> 20) - 1023;
  let mantissa = x / powerOfTwo(exponent);
  if (mantissa > Math.SQRT2) {
    mantissa /= 2;
    exponent++;
  }
  const s = (mantissa - 1) / (mantissa + 1);
  const square = s * s;
  let sum = 0;
  for (let n = 25; n >= 1; n -= 2) sum = sum * square + 1 / n;
  return exponent * LN2_HIGH + (2 * s * sum + exponent * LN2_LOW);
}

/** x, 0 or more, to a power above 0. */
export function power(x: number, exponent: number): number {
  return x === 0 ? 0 : exponent === 1 ? x : exp(exponent * log(x));
}

function series(r: number, first: number): number {
  let sum = 0;
  for (let n = first + 16; n >= first; n -= 2) sum = inverseFactorials[n] - r * r * sum;
  return first === 1 ? r * sum : sum;
}

/** Sine and cosine of an angle of a few turns. */
export function sineCosine(angle: number): { sine: number; cosine: number } {
  const quarter = Math.round(angle / HALF_PI_PARTS[0]);
  const r = HALF_PI_PARTS.reduce((rest, part) => rest - quarter * part, angle);
  const [sine, cosine] = [series(r, 1), series(r, 0)];
  const turn = ((quarter % 4) + 4) % 4;
  if (turn === 0) return { sine, cosine };
  if (turn === 1) return { sine: cosine, cosine: -sine };
  return turn === 2 ? { sine: -sine, cosine: -cosine } : { sine: -cosine, cosine: sine };
}
