import { isFactorKey } from '@rass/lora';
import type { Checkpoint } from '@rass/weights';
import { methodNamed } from '../methods/registry.ts';
import { depthOf } from '../recipe/depth.ts';
import { type Recipe, type RecipeModel, type Stage, stageTitle } from '../recipe/recipe.ts';
import { checkpointNode, isFloat } from './checkpoint-node.ts';
import { type LoraSource, readLora } from './lora-file.ts';
import { loraNode } from './lora-node.ts';
import type { PlanAdapter } from './merge-plan.ts';
import type { TensorNode } from './node.ts';
import { stageParameters } from './parameters.ts';
import { rolesOf } from './roles.ts';
import { type StageNode, stageNode } from './stage-node.ts';
import { alignKeys } from './unmatched.ts';

/** How what a recipe names is opened. Files of `@rass/merge/node` are opened by path. */
export interface Openers {
  /** `variant` is as the recipe says it. */
  openModel(model: string, variant?: string): Promise<Checkpoint>;
  /** The file of an adapter and, where PEFT's adapter_config.json lies beside it, that. It is closed once it has been read. */
  openLora(path: string): Promise<LoraSource>;
}

/** Factors mean something by their products alone, which no method makes. @throws where a model is a file of an adapter */
function checkIsModel(where: string, model: string, checkpoint: Checkpoint): void {
  const factor = checkpoint.keys().find(isFactorKey);
  if (factor === undefined) return;
  throw new Error(
    `${where}: a model has weights; got ${model}, a file of an adapter, with "${factor}"; ` +
      `list it under loras of the model that it is for, with its scale: of several the products are added`,
  );
}

/** Builds a recipe's stages, each of which may be an input of later ones. */
class StageBuilder {
  /** Opened checkpoints, each once. */
  readonly opened = new Map<string, Checkpoint>();
  readonly adapters: PlanAdapter[] = [];
  readonly unmatched = { kept: [] as string[], dropped: [] as string[] };
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
    const aligned = alignKeys(where, nodes, stage.unmatched);
    const { common: keys, kept, dropped } = aligned;
    this.unmatched.kept.push(...kept.keys());
    this.unmatched.dropped.push(...dropped);
    const merged = keys.filter((key) => isFloat(nodes[0].info(key).dtype));
    const parameters = stageParameters(where, method, stage, roles.models, { merged, keys, depth: depthOf(keys) });
    const name = stage.name === undefined ? this.#recipe.name : `stage "${stage.name}"`;
    return stageNode(name, method, { ...(base && { base }), models }, parameters, aligned);
  }

  async #model(where: string, index: number, { model, variant, loras }: RecipeModel): Promise<TensorNode> {
    const stage = this.#nodes.get(model);
    if (stage !== undefined && variant !== undefined) {
      throw new Error(
        `${where}: a variant is one of a folder's files; got variant: ${variant} of the stage "${model}"; leave it out`,
      );
    }
    const node = stage ?? (await this.#file(where, index, model, variant));
    this.#used.add(model);
    if (loras.length === 0) return node;
    const files = [];
    for (const lora of loras) {
      const source = await this.#openers.openLora(lora.path);
      try {
        files.push(await readLora(`${where}: ${lora.path}`, node, lora, source));
      } finally {
        await source.checkpoint.close();
      }
    }
    this.adapters.push(...files.flatMap(({ listed }) => listed));
    return loraNode(
      node,
      files.flatMap(({ adapters }) => adapters),
    );
  }

  async #file(where: string, index: number, model: string, variant?: string): Promise<TensorNode> {
    const later = this.#recipe.stages.findIndex(({ name }, i) => i >= index && name === model);
    if (later >= 0) {
      const got = later === index ? 'the stage itself' : 'one that comes later';
      throw new Error(
        `${where}: a model is a file, a folder or an earlier stage; got "${model}", ${got}: ${this.#circle(index, model)}`,
      );
    }
    const id = JSON.stringify([model, variant]);
    const checkpoint = this.opened.get(id) ?? (await this.#openers.openModel(model, variant));
    this.opened.set(id, checkpoint);
    checkIsModel(where, model, checkpoint);
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

/** A recipe's last stage, and what was found on the way. */
export interface BuiltStages extends Pick<StageBuilder, 'opened' | 'adapters' | 'unmatched'> {
  readonly output: StageNode;
}

/** Opens what a recipe names and checks that it fits. What was opened is closed where it does not.
 * @throws on an unknown method, model or parameter, or models that do not fit each other */
export async function buildStages(recipe: Recipe, openers: Openers): Promise<BuiltStages> {
  const builder = new StageBuilder(recipe, openers);
  const { opened, adapters, unmatched } = builder;
  try {
    return { output: await builder.build(), opened, adapters, unmatched };
  } catch (error) {
    await Promise.all([...opened.values()].map((checkpoint) => checkpoint.close()));
    throw error;
  }
}
