import { cosine, sine } from '../maths/arithmetic.ts';
import { add, cross, scale, squareTo, unit, type Vector } from '../maths/vector.ts';

/** How space is seen: from a point (a camera), or along one direction (a light that is far away). */
export interface View {
  readonly perspective: boolean;
  readonly position: Vector;
  readonly right: Vector;
  readonly up: Vector;
  readonly forward: Vector;
  /** Picture units per unit of slope (camera) or per metre (light). */
  readonly zoom: number;
  readonly centreX: number;
  readonly centreY: number;
}

export interface CameraPose {
  readonly position: Vector;
  /** Radians: 0 looks along z, positive to the right. */
  readonly yaw: number;
  /** Radians, positive upwards. */
  readonly pitch: number;
  readonly roll: number;
  /** Focal length in units of the picture's longer side. */
  readonly focal: number;
}

/** The longer side always shows the same angle, so that a picture of another shape is a part of the square one. */
export function cameraView(pose: CameraPose, width: number, height: number): View {
  const { position, yaw, pitch, roll, focal } = pose;
  const forward: Vector = [sine(yaw) * cosine(pitch), sine(pitch), cosine(yaw) * cosine(pitch)];
  const level = unit(cross([0, 1, 0], forward));
  const upright = cross(forward, level);
  const right = add(scale(level, cosine(roll)), scale(upright, sine(roll)));
  const up = add(scale(upright, cosine(roll)), scale(level, -sine(roll)));
  const zoom = focal * Math.max(width, height);
  return { perspective: true, position, right, up, forward, zoom, centreX: width / 2, centreY: height / 2 };
}

/** What a light sees that shines along `direction`, on a square of `pixels` pixels, `reach` metres to each side of a point. */
export function lightView(direction: Vector, centre: Vector, reach: number, pixels: number): View {
  const forward = unit(direction);
  const [right, up] = squareTo(forward);
  const half = pixels / 2;
  return { perspective: false, position: centre, right, up, forward, zoom: half / reach, centreX: half, centreY: half };
}
