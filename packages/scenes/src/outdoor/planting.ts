import type { Random } from '../maths/random.ts';
import type { Scene } from '../render/scene.ts';
import { pickSpecies, type Season, type Species } from '../things/species.ts';
import { addTree } from '../things/tree.ts';
import { type GroundPlan, isFree } from './ground-plan.ts';

/** The kinds of trees that grow at a site. */
export function pickKinds(scene: Scene, random: Random, season: Season, most: number): Species[] {
  return Array.from({ length: random.whole(1, most) }, () => pickSpecies(scene, random, season));
}

/** A tree at each place, as tall as its kind, or within limits. */
export function plantTrees(
  scene: Scene,
  random: Random,
  kinds: readonly Species[],
  spots: readonly (readonly [number, number])[],
  limits?: [number, number],
) {
  for (const [x, z] of spots) {
    const species = random.pick(kinds);
    const height = limits ? random.between(...limits) : species.height * random.between(0.6, 1.1);
    addTree(scene, random, species, { x, z, height, distance: Math.sqrt(x * x + z * z) });
  }
}

/** Trees far away, so that land does not end in a line. */
export function plantForest(
  scene: Scene,
  random: Random,
  kinds: readonly Species[],
  plan: GroundPlan,
  belt: { from: number; to: number; count: number },
) {
  for (let i = 0; i < belt.count; i++) {
    const z = random.between(belt.from, belt.to);
    const x = random.between(-0.85, 0.85) * z;
    if (!isFree(plan, x, z, 1)) continue;
    const species = random.pick(kinds);
    addTree(scene, random, species, {
      x,
      z,
      height: species.height * random.between(0.6, 1.15),
      distance: Math.sqrt(x * x + z * z),
    });
  }
}
