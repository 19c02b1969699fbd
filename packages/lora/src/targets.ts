import { closest } from '@rass/nn';
import { type LoraConfig, pathPattern } from './config.ts';
import { pythonRegExp } from './python-regex.ts';

/** A layer that an adapter may be laid over. */
export interface TargetLayer {
  readonly path: string;
  readonly kind: string;
}

type Paths = readonly string[] | string;

const ends = (path: string, name: string): boolean => path === name || path.endsWith(`.${name}`);

type Test = (path: string) => boolean;

/** Whether an entry of a list, or a regular expression, means a path. */
function testOf(what: string, paths: Paths): Test {
  if (typeof paths !== 'string') return (path) => paths.some((name) => ends(path, name));
  const expression = pythonRegExp(what, paths);
  return (path) => expression.test(path);
}

/** Endings of paths, by growing length, of which an entry of a list may be a misspelling. */
function endings(layers: readonly TargetLayer[]): string[] {
  const steps = layers.map(({ path }) => path.split('.'));
  return [...new Set([1, 2, 3].flatMap((length) => steps.map((step) => step.slice(-length).join('.'))))];
}

function refuse(what: string, name: string, layers: readonly TargetLayer[]): never {
  const near = closest(name, endings(layers), 2).join(', ');
  throw new Error(`lora: ${what} "${name}"; closest: ${near === '' ? 'the model has no layers' : near}`);
}

/** Throws unless each entry of a list, or the expression, means a layer. */
function checkEach(paths: Paths, layers: readonly TargetLayer[], where = ''): void {
  const tests = typeof paths === 'string' ? [paths] : paths.map((name) => [name]);
  const lost = tests.find((each) => {
    const test = testOf(where || 'targets', each);
    return !layers.some(({ path }) => test(path));
  });
  const prefix = where === '' ? '' : `${where}: `;
  if (lost !== undefined) refuse(`${prefix}no layer matches`, `${lost}`, layers);
}

/** Which blocks a list of targets is limited to, by their numbers in the path. @source peft layers_to_transform, layers_pattern */
export interface LayerNumbers {
  /** The numbers of the blocks. */
  readonly layers?: number | readonly number[];
  /** What stands before the number, a regular expression: `layers`, `down_blocks`. Without it the first number in the path counts. */
  readonly layersPattern?: string | readonly string[];
}

/** The number of a path's block; undefined where it has none. */
function numberIn(layersPattern: LayerNumbers['layersPattern'] = []): (path: string) => number | undefined {
  const names = typeof layersPattern === 'string' ? [layersPattern] : layersPattern;
  const sources = names.filter((name) => name !== '').map((name) => `(?:^|.*?\\.)${name}\\.(?P<idx>\\d+)\\.`);
  const all = (sources.length > 0 ? sources : ['.*?\\.[^.]*\\.(?P<idx>\\d+)\\.']).map((source) =>
    pythonRegExp('layersPattern', source, { isStart: true }),
  );
  return (path) => {
    const found = all.map((expression) => expression.exec(path)).find((match) => match !== null);
    return found?.groups === undefined ? undefined : Number(found.groups['idx']);
  };
}

/** Whether a path is in the blocks that are asked for. A path that is a target as a whole always is, as in PEFT. */
function inBlocks(targets: Paths, { layers, layersPattern }: LayerNumbers): Test {
  const numbers = layers === undefined || typeof layers === 'number' ? layers : new Set(layers);
  if (numbers === undefined || typeof targets === 'string' || (typeof numbers === 'object' && numbers.size === 0))
    return () => true;
  const number = numberIn(layersPattern);
  const whole = new Set(targets);
  return (path) => {
    const at = number(path);
    const isThere = at !== undefined && (typeof numbers === 'number' ? at === numbers : numbers.has(at));
    return whole.has(path) || isThere;
  };
}

/** The layers of a model that `targets` and `exclude` choose, in the model's order.
 * @throws when an entry means no layer, or nothing is left @source peft check_target_module_exists */
export function matchTargets<L extends TargetLayer>(
  layers: readonly L[],
  { targets, exclude = [], ...blocks }: { readonly targets: Paths; readonly exclude?: Paths } & LayerNumbers,
): L[] {
  const linears = targets === 'all-linear';
  if (!linears) checkEach(targets, layers);
  if (exclude.length > 0) checkEach(exclude, layers, 'exclude');
  const isTarget = linears ? undefined : testOf('targets', targets);
  const isOut = testOf('exclude', exclude);
  const isInBlocks = inBlocks(targets, blocks);
  const chosen = layers.filter(({ path, kind }) => (isTarget ? isTarget(path) : kind === 'linear') && isInBlocks(path));
  const left = exclude.length === 0 ? chosen : chosen.filter(({ path }) => !isOut(path));
  if (left.length > 0) return left;
  throw new Error(
    `lora: targets choose at least one layer; got none of ${layers.length} by ${JSON.stringify(targets)} without ${JSON.stringify(exclude)}; choose others`,
  );
}

/** The layers that are in a list by the rules of `targets`, or in a part of the model that is: `time_embedding` has two.
 * @throws when an entry means none @source peft modules_to_save */
export function matchModules<L extends TargetLayer>(layers: readonly L[], names: readonly string[]): L[] {
  const parts = (path: string): string[] => path.split('.').map((_, i, steps) => steps.slice(0, i + 1).join('.'));
  const isIn = (path: string, name: string): boolean => parts(path).some((part) => ends(part, name));
  const lost = names.find((name) => !layers.some(({ path }) => isIn(path, name)));
  if (lost !== undefined) refuse('modulesToSave: no layer matches', lost, layers);
  return layers.filter(({ path }) => names.some((name) => isIn(path, name)));
}

/** @throws when a pattern of ranks or alphas means none of the layers that are adapted */
export function checkPatterns(
  layers: readonly TargetLayer[],
  config: Pick<LoraConfig, 'rankPattern' | 'alphaPattern'>,
): void {
  for (const field of ['rankPattern', 'alphaPattern'] as const) {
    const patterns = Object.keys(config[field] ?? {});
    const lost = patterns.find((pattern) => {
      const expression = pathPattern(field, pattern);
      return !layers.some(({ path }) => expression.test(path));
    });
    if (lost !== undefined) refuse(`${field}: no layer that is adapted matches`, lost, layers);
  }
}
