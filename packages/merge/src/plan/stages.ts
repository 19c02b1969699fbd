import type { OpenedAdapter } from '@rass/lora';
import type { Checkpoint } from '@rass/weights';
import { methodNamed } from '../methods/registry.ts';
import { depthOf } from '../recipe/depth.ts';
import { type Recipe, type RecipeModel, type Stage, stageTitle } from '../recipe/recipe.ts';
import { checkAgreement } from './agree.ts';
import { checkpointNode, isFloat } from './checkpoint-node.ts';
import { chooseAdapter, loraNode } from './lora-node.ts';
import type { TensorNode } from './node.ts';
import { stageParameters } from './parameters.ts';
import { rolesOf } from './roles.ts';
import { type StageNode, stageNode } from './stage-node.ts';

/** How what a recipe names is opened. Files of `@rass/merge/node` are opened by path. */
export interface Openers {
  openModel(model: string): Promise<Checkpoint>;
  /** `paths` are those of the model's layers. */
  openLora(path: string, paths: readonly string[]): Promise<OpenedAdapter>;
}

const LAYER = /\.(weight|bias)$/;

const layersOf = (keys: readonly string[]): string[] => [
  ...new Set(keys.filter((key) => LAYER.test(key)).map((key) => key.replace(LAYER, ''))),
];

/** Builds a recipe's stages, each of which may be an input of later ones. */
class StageBuilder {
  /** Opened checkpoints, each once. */
  readonly opened = new Map<string, Checkpoint>();
  readonly #nodes = new Map<string, StageNode>();
  readonly #used = new Set<string>();
  readonly #recipe: Recipe;
  readonly #openers: Openers;

  constructor(recipe: Recipe, openers: Openers) {
    this.#recipe = recipe;
    this.#openers = openers;
  }

  async build(): Promise<StageNode> {
    const { stages } = this.#recipe;
    let node: StageNode | undefined;
    for (const [i, stage] of stages.entries()) {
      node = await this.#stage(this.#title(i), i, stage);
      if (stage.name !== undefined) this.#nodes.set(stage.name, node);
    }
    const idle = stages.slice(0, -1).findIndex(({ name }) => !this.#used.has(name!));
    if (idle < 0) return node!;
    throw new Error(
      `${this.#title(idle)}: a stage is a model of a later one; got one that is not; name it, or leave it out`,
    );
  }

  #title(index: number): string {
    const { name, stages } = this.#recipe;
    return stageTitle(name, stages.length, index, stages[index].name);
  }

  async #stage(where: string, index: number, stage: Stage): Promise<StageNode> {
    const method = methodNamed(where, stage.merge_method);
    const roles = rolesOf(where, method, stage);
    const base = roles.base && (await this.#model(where, index, roles.base));
    const models: TensorNode[] = [];
    for (const model of roles.models) models.push(await this.#model(where, index, model));
    const nodes = base === undefined ? models : [base, ...models];
    checkAgreement(where, nodes);
    const { keys } = nodes[0];
    const merged = keys.filter((key) => isFloat(nodes[0].info(key).dtype));
    const parameters = stageParameters(where, method, stage, roles.models, { merged, keys, depth: depthOf(keys) });
    const name = stage.name === undefined ? this.#recipe.name : `stage "${stage.name}"`;
    return stageNode(name, method, { ...(base && { base }), models }, parameters);
  }

  async #model(where: string, index: number, { model, loras }: RecipeModel): Promise<TensorNode> {
    const node = this.#nodes.get(model) ?? (await this.#file(where, index, model));
    this.#used.add(model);
    if (loras.length === 0) return node;
    const paths = layersOf(node.keys);
    const adapters = [];
    for (const { path, scale, adapter } of loras) {
      const file = await this.#openers.openLora(path, paths);
      adapters.push({ name: path, scale, state: chooseAdapter(`${where}: ${path}`, file, adapter) });
    }
    return loraNode(node, adapters);
  }

  async #file(where: string, index: number, model: string): Promise<TensorNode> {
    const later = this.#recipe.stages.findIndex(({ name }, i) => i >= index && name === model);
    if (later >= 0) {
      const got = later === index ? 'the stage itself' : 'one that comes later';
      throw new Error(
        `${where}: a model is a file, a folder or an earlier stage; got "${model}", ${got}: ${this.#circle(index, model)}`,
      );
    }
    const known = this.opened.get(model);
    const checkpoint = known ?? (await this.#openers.openModel(model));
    this.opened.set(model, checkpoint);
    return checkpointNode(model, checkpoint);
  }

  /** Whether the stages name each other in a circle, or only stand in the wrong order. */
  #circle(index: number, model: string): string {
    const { stages } = this.#recipe;
    const byName = new Map(stages.map((stage) => [stage.name, stage]));
    const needs = ({ models, base_model }: Stage): string[] => [
      ...models.map((each) => each.model),
      ...(base_model ? [base_model] : []),
    ];
    const target = stages[index].name;
    const way = (from: string, seen: readonly string[]): string[] | undefined => {
      if (from === target) return [...seen, from];
      const stage = byName.get(from);
      if (stage === undefined || seen.includes(from)) return undefined;
      for (const next of needs(stage)) {
        const found = way(next, [...seen, from]);
        if (found !== undefined) return found;
      }
      return undefined;
    };
    const circle = target === undefined ? undefined : way(model, [target]);
    return circle === undefined ? 'put it first' : `they are a circle: ${circle.join(' -> ')}`;
  }
}

/** Opens what a recipe names and checks that it fits. What was opened is closed where it does not.
 * @throws on an unknown method, model or parameter, or models that do not fit each other */
export async function buildStages(
  recipe: Recipe,
  openers: Openers,
): Promise<{ output: StageNode; opened: ReadonlyMap<string, Checkpoint> }> {
  const builder = new StageBuilder(recipe, openers);
  try {
    return { output: await builder.build(), opened: builder.opened };
  } catch (error) {
    await Promise.all([...builder.opened.values()].map((checkpoint) => checkpoint.close()));
    throw error;
  }
}
