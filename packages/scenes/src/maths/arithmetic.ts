// ECMAScript leaves the last bits of Math.sin, exp, pow and their like to the engine. A picture that is the same on every machine is
// made of what IEEE 754 rounds exactly: the four operations and the square root.

export const TURN = 2 * Math.PI;
const QUARTER_TURN = Math.PI / 2;

/** The sine of an angle in radians, to about 1e-9, the same on every machine. */
export function sine(angle: number): number {
  const quarters = Math.round(angle / QUARTER_TURN);
  const rest = angle - quarters * QUARTER_TURN;
  const square = rest * rest;
  switch (quarters & 3) {
    case 0:
      return sineNearZero(rest, square);
    case 1:
      return cosineNearZero(square);
    case 2:
      return -sineNearZero(rest, square);
    default:
      return -cosineNearZero(square);
  }
}

export function cosine(angle: number): number {
  return sine(angle + QUARTER_TURN);
}

function sineNearZero(x: number, xx: number): number {
  return x * (1 + xx * (-1 / 6 + xx * (1 / 120 + xx * (-1 / 5040 + xx * (1 / 362880 - xx / 39916800)))));
}

function cosineNearZero(xx: number): number {
  return 1 + xx * (-1 / 2 + xx * (1 / 24 + xx * (-1 / 720 + xx * (1 / 40320 - xx / 3628800))));
}

/** An angle's arc tangent, from -pi to pi, to about 1e-4: for directions of textures, never for an edge. */
export function arcTangent(y: number, x: number): number {
  const [across, along] = [Math.abs(y), Math.abs(x)];
  const ratio = Math.min(across, along) / Math.max(across, along, 1e-30);
  const rr = ratio * ratio;
  const small = ratio * (0.999866 + rr * (-0.3302995 + rr * (0.180141 + rr * (-0.085133 + rr * 0.0208351))));
  const first = across > along ? QUARTER_TURN - small : small;
  const half = x < 0 ? Math.PI - first : first;
  return y < 0 ? -half : half;
}

/** The cube root of a number that is not negative, by Newton's method. */
export function cubeRoot(x: number): number {
  if (x <= 0) return 0;
  let root = Math.max(x, Math.sqrt(Math.sqrt(x)));
  for (let i = 0; i < 60; i++) {
    const next = (2 * root + x / (root * root)) / 3;
    if (next >= root) break;
    root = next;
  }
  return root;
}

export function clamp(x: number, low: number, high: number): number {
  return x < low ? low : Math.min(x, high);
}

export function mix(a: number, b: number, share: number): number {
  return a + (b - a) * share;
}

/** From 0 at `from` to 1 at `to`, with level ends. */
export function smoothStep(from: number, to: number, x: number): number {
  const t = clamp((x - from) / (to - from), 0, 1);
  return t * t * (3 - 2 * t);
}

/** What is left of x after whole steps of 1, from 0 to 1, for negative numbers too. */
export function fraction(x: number): number {
  return x - Math.floor(x);
}
