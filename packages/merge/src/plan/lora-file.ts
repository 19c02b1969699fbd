import { type AdapterState, adapterComponents, type DoraRule, type OpenedAdapter, readAdapter } from '@rass/lora';
import { closest } from '@rass/nn';
import type { Checkpoint } from '@rass/weights';
import type { RecipeLora } from '../recipe/recipe.ts';
import { type ModelParts, type Place, partsOf, shapesOf } from './layers.ts';
import type { PlanAdapter } from './merge-plan.ts';
import type { TensorNode } from './node.ts';

/** A file of an adapter that is open. */
export interface LoraSource {
  readonly checkpoint: Checkpoint;
  /** PEFT's adapter_config.json, where it lies beside the file. */
  readonly config?: unknown;
}

/** An adapter of one part of a model and how strongly it acts. */
export interface FoldedAdapter {
  readonly name: string;
  readonly state: AdapterState;
  readonly scale: number;
  /** The rule by which DoRA is scaled; absent: PEFT's. */
  readonly dora?: DoraRule;
  /** The part's tensors by the names that the state has. */
  readonly tensors: ReadonlyMap<string, Place>;
}

/** What a file of an adapter does to a model: of each part that it is of. */
export interface FoldedFile {
  readonly adapters: readonly FoldedAdapter[];
  readonly listed: readonly PlanAdapter[];
}

/** The one adapter of a file that is meant. @throws naming those that it has */
function chooseAdapter(where: string, { adapters }: OpenedAdapter, name: string | undefined): [string, AdapterState] {
  const names = Object.keys(adapters);
  if (name === undefined && names.length === 1) return [names[0], adapters[names[0]]];
  if (name !== undefined && Object.hasOwn(adapters, name)) return [name, adapters[name]];
  const remedy =
    name === undefined ? 'set adapter, or add an entry of loras for each' : `closest: ${closest(name, names)[0]}`;
  throw new Error(
    `${where}: adapter is one of ${names.join(', ')}; got ${name === undefined ? 'none' : `"${name}"`}; ${remedy}`,
  );
}

const countText = (component: string, count: number): string =>
  `${count} ${count === 1 ? 'key' : 'keys'} of ${component}`;

/** The parts of the model that a file is folded into: the one that is named, or all that the file has.
 * @throws when the file or the model lacks one, with what to name */
function wantedParts(
  where: string,
  model: string,
  parts: ModelParts,
  counts: ReadonlyMap<string, number>,
  component: string | undefined,
): string[] {
  const inFile = [...counts.keys()];
  const inModel = [...parts.keys()];
  if (component !== undefined) {
    const known = parts.has(component) && (inFile.length === 0 || counts.has(component));
    if (known) return [component];
    const names = parts.has(component) ? inFile : inModel;
    const what = parts.has(component) ? 'the file has' : `${model} has`;
    throw new Error(
      `${where}: component is a part that ${what}; got "${component}"; choose one of ${names.join(', ')}`,
    );
  }
  if (inFile.length === 0) return [inModel[0]];
  const foreign = inFile.filter((each) => !parts.has(each));
  const common = inModel.filter((each) => counts.has(each));
  if (foreign.length === 0) return common;
  const got = foreign.map((each) => countText(each, counts.get(each)!)).join(', ');
  const remedy =
    common.length > 0
      ? `set component: ${common[0]} to fold that part alone`
      : `give the model of that part, or set component: ${foreign[0]} if this is it`;
  throw new Error(`${where}: an adapter is folded in whole; got ${got}, and ${model} is of ${inModel.join(', ')}; ${remedy}`); // biome-ignore format: one line
}

/** Ranks of an adapter's factors, each once. */
const ranksOf = ({ layers }: AdapterState): number[] => {
  const ranks = [...layers.values()].flatMap((update) => (update.kind === 'lora' ? [update.down.shape[0]] : []));
  return [...new Set(ranks)].sort((a, b) => a - b);
};

const literally = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Reads what a file of an adapter does to a model, and checks all of it: layers, sizes, and that nothing is left out unsaid.
 * @throws AdapterFileError, or Error where something is to be chosen */
export async function readLora(
  where: string,
  node: TensorNode,
  { path, scale, dora, alpha, adapter, component, allow_unused }: RecipeLora,
  { checkpoint, config }: LoraSource,
): Promise<FoldedFile> {
  const counts = adapterComponents(checkpoint);
  const parts = partsOf(node, component);
  const wanted = wantedParts(where, node.name, parts, counts, component);
  const adapters: FoldedAdapter[] = [];
  const listed: PlanAdapter[] = [];
  for (const part of wanted) {
    const tensors = parts.get(part)!;
    const opened = await readAdapter(checkpoint, {
      component: part,
      shapes: shapesOf(tensors),
      allowUnused: allow_unused.map((name) => new RegExp(literally(name))),
      unusedRemedy: "what may mean nothing is named in allow_unused of the adapter's entry in loras",
      ...(config !== undefined && { config }),
      ...(alpha !== undefined && { alpha }),
    });
    const [name, state] = chooseAdapter(where, opened, adapter);
    adapters.push({ name: path, scale, state, tensors, ...(dora && { dora }) });
    const { format, otherComponents, unused, unknown } = opened.report;
    const leftOut = Object.entries(otherComponents).filter(([other]) => !wanted.includes(other));
    listed.push({
      model: node.name,
      path,
      adapter: name,
      format,
      component: part,
      scale,
      layers: state.layers.size,
      whole: state.whole.size,
      ranks: ranksOf(state),
      leftOut: [
        ...leftOut.map(([other, keys]) => countText(other, keys.length)),
        ...unused,
        ...unknown.map(({ layer }) => layer),
      ],
    });
  }
  return { adapters, listed };
}
