import { LABELS } from '../classes.ts';
import { inside } from '../materials/facade.ts';
import { clamp, cosine, fraction, sine, TURN } from '../maths/arithmetic.ts';
import { colourOf } from '../maths/colour.ts';
import { octaves } from '../maths/noise.ts';
import type { Placement } from '../maths/placement.ts';
import type { Random } from '../maths/random.ts';
import { scale, type Vector } from '../maths/vector.ts';
import { type Hit, type Material, paint, shadeBy, tilt, tintTo } from '../render/hit.ts';
import { addCone, addPolygon, type Look, type Scene } from '../render/scene.ts';

/** The line of a car's back, from its front bumper to its rear one: how far along, how high, half how wide, what it is. */
interface Rib {
  readonly z: number;
  readonly y: number;
  readonly half: number;
}

interface Shape {
  readonly long: number;
  readonly roof: number;
  readonly belt: number;
  /** Where the windscreen, the roof and the rear window begin and end, as shares of the length. */
  readonly screen: readonly [number, number];
  readonly rear: readonly [number, number];
  readonly half: number;
  readonly wheel: number;
}

const SHAPES: readonly Shape[] = [
  { long: 4.5, roof: 1.44, belt: 0.92, screen: [0.27, 0.42], rear: [0.73, 0.86], half: 0.88, wheel: 0.32 },
  { long: 4.0, roof: 1.48, belt: 0.95, screen: [0.24, 0.39], rear: [0.86, 0.97], half: 0.86, wheel: 0.31 },
  { long: 4.6, roof: 1.7, belt: 1.06, screen: [0.25, 0.37], rear: [0.88, 0.97], half: 0.93, wheel: 0.37 },
  { long: 4.9, roof: 1.95, belt: 1.12, screen: [0.13, 0.26], rear: [0.95, 0.985], half: 0.95, wheel: 0.35 },
];

interface Paints {
  readonly body: Look;
  readonly glass: Look;
  readonly side: Look;
  readonly wheel: Look;
  readonly dark: Look;
  readonly front: Look;
  readonly back: Look;
}

/** Adds a car with its middle on the place, its front towards the place's front. */
export function addCar(scene: Scene, random: Random, place: Placement): void {
  const shape = random.pick(SHAPES);
  const paints = pickPaints(random, shape);
  const ribs = ribsOf(shape);
  for (let i = 0; i + 1 < ribs.length; i++) {
    const [a, b] = [ribs[i], ribs[i + 1]];
    const look =
      i === 0 ? paints.front : i === ribs.length - 2 ? paints.back : i === 4 || i === 7 ? paints.glass : paints.body;
    const corners: Vector[] = [
      place.at(-a.half, a.y, a.z),
      place.at(a.half, a.y, a.z),
      place.at(b.half, b.y, b.z),
      place.at(-b.half, b.y, b.z),
    ];
    addPolygon(scene, corners, look);
  }
  for (const side of [-1, 1]) addSide(scene, place, shape, ribs, paints, side);
  addWheels(scene, place, shape, paints);
}

function ribsOf({ long, roof, belt, screen, rear, half }: Shape): Rib[] {
  const z = (share: number): number => (share - 0.5) * long;
  const top = half * 0.76;
  return [
    { z: z(0), y: 0.26, half: half * 0.9 },
    { z: z(0.002), y: belt * 0.72, half: half * 0.94 },
    { z: z(0.03), y: belt * 0.84, half: half * 0.97 },
    { z: z(screen[0] * 0.6), y: belt * 0.96, half },
    { z: z(screen[0]), y: belt, half: half * 0.97 },
    { z: z(screen[1]), y: roof - 0.03, half: top },
    { z: z((screen[1] + rear[0]) / 2), y: roof, half: top },
    { z: z(rear[0]), y: roof - 0.04, half: top },
    { z: z(rear[1]), y: belt + 0.03, half: half * 0.96 },
    { z: z(0.99), y: belt * 0.95, half: half * 0.95 },
    { z: z(1), y: 0.3, half: half * 0.9 },
  ];
}

function addSide(
  scene: Scene,
  place: Placement,
  shape: Shape,
  ribs: readonly Rib[],
  paints: Paints,
  side: number,
): void {
  const { half, long, belt } = shape;
  const z = (share: number): number => (share - 0.5) * long;
  const x = side * half;
  // The body bulges: below its middle line it leans inwards, as it does above.
  const middle = belt * 0.66;
  const lower: Vector[] = [
    [side * half * 0.93, 0.2, z(0.02)],
    [side * half * 0.93, 0.2, z(0.98)],
    [x, middle, z(0.997)],
    [x, middle, z(0.003)],
  ];
  const upper: Vector[] = [
    [x, middle, z(0.003)],
    [x, middle, z(0.997)],
    ...[9, 8, 4, 3, 2, 1].map((i): Vector => [side * ribs[i].half, ribs[i].y, ribs[i].z]),
  ];
  const window: Vector[] = [4, 8, 7, 6, 5].map((i): Vector => [side * ribs[i].half, ribs[i].y, ribs[i].z]);
  addPolygon(
    scene,
    lower.map((p) => place.at(...p)),
    paints.body,
  );
  addPolygon(
    scene,
    upper.map((p) => place.at(...p)),
    paints.body,
  );
  addPolygon(
    scene,
    window.map((p) => place.at(...p)),
    paints.side,
  );
}

function addWheels(scene: Scene, place: Placement, { long, half, wheel }: Shape, paints: Paints): void {
  for (const share of [0.19, 0.81]) {
    const z = (share - 0.5) * long;
    addCone(scene, place.at(-half + 0.02, wheel, z), place.at(half - 0.02, wheel, z), [wheel, wheel], paints.dark);
    for (const side of [-1, 1]) {
      addPolygon(scene, disc(place, side * (half + 0.004), wheel + 0.03, z, wheel * 1.2), {
        ...paints.dark,
        castsShadow: false,
      });
      addPolygon(scene, disc(place, side * (half + 0.014), wheel, z, wheel), paints.wheel);
    }
  }
}

/** A round plate in a plane of one x; u and v begin at its rim. */
function disc(place: Placement, x: number, y: number, z: number, radius: number): Vector[] {
  return Array.from({ length: 20 }, (_, i) =>
    place.at(
      x,
      y + radius * sine((TURN * (i + 0.5)) / 20 - TURN / 4),
      z + radius * cosine((TURN * (i + 0.5)) / 20 - TURN / 4),
    ),
  );
}

function pickPaints(random: Random, { long, belt, wheel }: Shape): Paints {
  const label = LABELS.car;
  const grey = scale([1, 1, 1.02], random.pick([0.75, 0.5, 0.28, 0.1, 0.03, 0.02]));
  const colour = random.chance(0.65)
    ? grey
    : colourOf(random.next(), random.between(0.35, 0.85), random.between(0.2, 0.6));
  const dark = { label, material: rubber };
  return {
    body: { label, material: lacquer(colour, belt) },
    glass: { label, material: carGlass },
    side: { label, material: sideWindow(colour, long) },
    wheel: { label, material: wheelFace(wheel, random.between(0.12, 0.6), random.whole(5, 9)) },
    dark,
    front: { label, material: nose(colour, [0.75, 0.75, 0.72], random.chance(0.5)) },
    back: { label, material: nose(colour, [0.5, 0.02, 0.02], false) },
  };
}

function lacquer(colour: Vector, belt: number): Material {
  return (hit) => {
    paint(hit, colour);
    const { y, u, footprint } = hit;
    // Dust below; the gap between doors.
    const dust = clamp(0.5 - y / belt, 0, 0.5) * (0.7 + 0.6 * octaves(hit.x * 4, hit.z * 4 + y * 5, 4, footprint * 4));
    tintTo(hit, [0.2, 0.17, 0.13], clamp(dust, 0, 0.6));
    if (hit.width > 3)
      shadeBy(
        hit,
        1 -
          0.75 *
            Math.max(
              ...[0.3, 0.53, 0.74].map(
                (at) =>
                  inside(u, at * hit.width - 0.008, at * hit.width + 0.008, footprint) * clamp(0.03 / footprint, 0, 1),
              ),
            ),
      );
    tilt(hit, 0, 0.25 * (hit.v / Math.max(0.3, hit.height) - 0.5));
    hit.gloss = 0.055;
    hit.dullness = 0.1;
  };
}

function carGlass(hit: Hit): void {
  paint(hit, [0.02, 0.025, 0.025]);
  // Seats and the far windows, dimly.
  const within = octaves(hit.u * 2.5, hit.v * 3 + 7, 3, hit.footprint * 3);
  shadeBy(hit, 1 + 1.5 * Math.max(0, within));
  hit.gloss = 0.1;
  hit.dullness = 0.03;
}

function sideWindow(colour: Vector, long: number): Material {
  return (hit) => {
    const { u, v, width, height, footprint } = hit;
    carGlass(hit);
    const rim = 1 - inside(v, 0.05, height - 0.07, footprint);
    const pillars = [0, 0.36 * long, 0.62 * long].map((at) => inside(u - 0.12 * long, at - 0.06, at + 0.06, footprint));
    const slanted = inside(u, -1, 0.1 + 0.9 * v, footprint) + inside(u, width - 0.1 - 0.5 * v, width + 1, footprint);
    const share = clamp(Math.max(rim, ...pillars, slanted), 0, 1);
    if (share <= 0) return;
    tintTo(hit, scale(colour, 0.8), share);
    hit.gloss = 0.05;
  };
}

function rubber(hit: Hit): void {
  paint(hit, [0.015, 0.015, 0.016]);
  hit.open = 0.6;
}

function wheelFace(radius: number, shine: number, spokes: number): Material {
  return (hit) => {
    const [x, y] = [hit.u - hit.width / 2, hit.v - hit.height / 2];
    const away = Math.sqrt(x * x + y * y) / radius;
    const rim = inside(away, -1, 0.68, hit.footprint / radius);
    paint(hit, [0.018, 0.018, 0.02]);
    if (rim <= 0) return;
    // Without an arc tangent: how far the place is from the nearest spoke's middle line.
    let near = 9;
    for (let i = 0; i < spokes; i++) {
      const [c, s] = [cosine((TURN * i) / spokes), sine((TURN * i) / spokes)];
      if (x * c + y * s > 0) near = Math.min(near, Math.abs(x * s - y * c));
    }
    const spoke = Math.max(inside(near, -1, 0.03, hit.footprint), away < 0.2 ? 1 : 0, away > 0.6 ? 1 : 0);
    tintTo(hit, [shine, shine, shine * 1.02], rim * (0.15 + 0.85 * spoke));
    hit.gloss = 0.25 * rim * spoke;
    hit.dullness = 0.3;
  };
}

/** A car's front or back: lamps at the sides, a grille or a plate between. */
function nose(colour: Vector, lamp: Vector, grille: boolean): Material {
  return (hit) => {
    const { u, v, width, height, footprint } = hit;
    paint(hit, colour);
    hit.gloss = 0.05;
    hit.dullness = 0.12;
    const x = Math.abs(u - width / 2);
    tintTo(hit, [0.02, 0.02, 0.02], inside(v, -1, height * 0.3, footprint) * (x < width * 0.42 ? 1 : 0.3));
    const plate = inside(x, -1, 0.25, footprint) * inside(v, height * 0.34, height * 0.34 + 0.12, footprint);
    tintTo(hit, [0.6, 0.6, 0.5], plate * (fraction(u * 9) < 0.5 ? 0.75 : 1));
    if (grille)
      tintTo(
        hit,
        [0.04, 0.04, 0.045],
        inside(x, -1, width * 0.26, footprint) * inside(v, height * 0.58, height * 0.92, footprint),
      );
    const lamps = inside(x, width * 0.3, width * 0.48, footprint) * inside(v, height * 0.6, height * 0.95, footprint);
    tintTo(hit, lamp, lamps);
    if (lamps > 0.5) hit.gloss = 0.15;
  };
}
