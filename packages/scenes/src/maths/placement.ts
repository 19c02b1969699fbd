import { cosine, sine } from './arithmetic.ts';
import type { Vector } from './vector.ts';

/** Where a thing stands: its own x runs to its right, y up, z to its back; it faces its own -z. */
export interface Placement {
  readonly at: (x: number, y: number, z: number) => Vector;
  /** A direction of its own in the world's axes. */
  readonly towards: (x: number, y: number, z: number) => Vector;
  readonly yaw: number;
}

/** Stands a thing at a place, turned to the right by `yaw` as seen from above; with yaw 0 it faces the world's -z, the viewer. */
export function place([x0, y0, z0]: Vector, yaw: number): Placement {
  const [c, s] = [cosine(yaw), sine(yaw)];
  return {
    at: (x, y, z) => [x0 + c * x + s * z, y0 + y, z0 - s * x + c * z],
    towards: (x, y, z) => [c * x + s * z, y, -s * x + c * z],
    yaw,
  };
}
