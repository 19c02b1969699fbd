import { LABELS } from '../classes.ts';
import { clamp, cosine, mix, sine, TURN } from '../maths/arithmetic.ts';
import { colourOf } from '../maths/colour.ts';
import type { Random } from '../maths/random.ts';
import { add, scale, squareTo, unit, type Vector } from '../maths/vector.ts';
import { type MaskKind, pickMask } from '../render/masks.ts';
import { addCutout, addCutoutLook, type Scene } from '../render/scene.ts';
import { leafColours, leaves, type Season } from './species.ts';
import { anyDirection } from './tree.ts';

/** A kind of shrub or of flowers: numbers of its looks. */
export interface ShrubKind {
  readonly leaf: number;
  readonly bloom: number | undefined;
  readonly mask: MaskKind;
}

export function pickShrub(scene: Scene, random: Random, season: Season): ShrubKind {
  const leaf = addCutoutLook(scene, {
    label: LABELS.plant,
    material: leaves(leafColours(random, season, false), 0.25),
  });
  const bright = colourOf(random.next(), random.between(0.4, 0.95), random.between(0.7, 1));
  const bloom =
    random.chance(0.4) && season !== 'winter'
      ? addCutoutLook(scene, { label: LABELS.plant, material: leaves([scale(bright, 0.6), bright], 0.3) })
      : undefined;
  return { leaf, bloom, mask: random.pick(['broadleaf', 'smallLeaf', 'smallLeaf'] as const) };
}

export interface ShrubPlace {
  readonly x: number;
  readonly z: number;
  readonly wide: number;
  readonly deep: number;
  readonly tall: number;
  readonly distance: number;
  /** 0: round; 1: cut like a hedge. */
  readonly square: number;
}

export function addShrub(scene: Scene, random: Random, kind: ShrubKind, shrub: ShrubPlace): void {
  const leaf = Math.max(0.07, shrub.distance * 0.0085);
  const area = 2 * shrub.tall * (shrub.wide + shrub.deep) + shrub.wide * shrub.deep;
  const count = Math.round(clamp((area * 1.3) / (leaf * leaf * 1.5), 30, 1600));
  for (let i = 0; i < count; i++) {
    const direction = anyDirection(random);
    const up = Math.abs(direction[1]);
    // Towards a box, each part of the direction is drawn to its largest.
    const reach = mix(1, 1 / Math.max(Math.abs(direction[0]), up, Math.abs(direction[2])), shrub.square);
    const away = mix(0.55, 1.02, Math.sqrt(Math.sqrt(random.next()))) * reach;
    const centre: Vector = [
      shrub.x + direction[0] * away * shrub.wide * 0.5,
      up * away * shrub.tall,
      shrub.z + direction[2] * away * shrub.deep * 0.5,
    ];
    const normal = unit([direction[0], up + 0.3, direction[2]]);
    const open = mix(0.35, 1, clamp(away / reach, 0, 1)) * mix(0.4, 1, clamp(centre[1] / shrub.tall, 0, 1));
    const flower = kind.bloom !== undefined && random.chance(0.14) && away > 0.8 * reach;
    const look = flower ? (kind.bloom as number) : kind.leaf;
    const [a, b] = squareTo(unit(add(normal, anyDirection(random))));
    const angle = random.between(0, TURN);
    const half = leaf * random.between(0.75, 1.3) * (flower ? 0.7 : 1);
    const u = add(scale(a, half * cosine(angle)), scale(b, half * sine(angle)));
    const v = add(scale(a, -half * sine(angle)), scale(b, half * cosine(angle)));
    const mask = pickMask(random, flower ? 'bloom' : kind.mask);
    addCutout(scene, { centre, u, v, normal, tint: random.next(), open, look, mask });
  }
}

/** Tufts of grass near the eye, where single blades are seen. */
export function addTuft(
  scene: Scene,
  random: Random,
  look: number,
  [x, z]: readonly [number, number],
  tall: number,
): void {
  const turn = random.between(-0.6, 0.6);
  const u: Vector = [tall * 0.8 * cosine(turn), 0, tall * 0.8 * sine(turn)];
  const v: Vector = [random.between(-0.2, 0.2) * tall, tall * 0.5, random.between(-0.3, 0.1) * tall];
  const normal = unit([0.3 * random.bell(), 1, 0.3 * random.bell()]);
  addCutout(scene, {
    centre: [x, tall * 0.45, z],
    u,
    v,
    normal,
    tint: random.next(),
    open: random.between(0.75, 1),
    look,
    mask: pickMask(random, 'blades'),
  });
}
