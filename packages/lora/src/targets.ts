import { closest } from '@rass/nn';

/** A layer that an adapter may be laid over. */
export interface TargetLayer {
  readonly path: string;
  readonly kind: string;
}

type Paths = readonly string[] | string;

const ends = (path: string, name: string): boolean => path === name || path.endsWith(`.${name}`);

/** Whether one entry of a list, or a regular expression, means the path. */
function fits(path: string, paths: Paths): boolean {
  if (typeof paths === 'string') return new RegExp(`^(?:${paths})$`).test(path);
  return paths.some((name) => ends(path, name));
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
function checkEach(paths: Paths, layers: readonly TargetLayer[], what = 'no layer matches'): void {
  const entries = typeof paths === 'string' ? [paths] : paths;
  const lost = entries.find(
    (entry) => !layers.some(({ path }) => fits(path, typeof paths === 'string' ? paths : [entry])),
  );
  if (lost !== undefined) refuse(what, lost, layers);
}

/** The layers of a model that `targets` and `exclude` choose, in the model's order.
 * @throws when an entry means no layer, or nothing is left @source peft check_target_module_exists */
export function matchTargets<L extends TargetLayer>(
  layers: readonly L[],
  { targets, exclude = [] }: { readonly targets: Paths; readonly exclude?: Paths },
): L[] {
  const linears = targets === 'all-linear';
  if (!linears) checkEach(targets, layers);
  if (exclude.length > 0) checkEach(exclude, layers, 'exclude: no layer matches');
  const chosen = layers.filter(({ path, kind }) => (linears ? kind === 'linear' : fits(path, targets)));
  const left = exclude.length === 0 ? chosen : chosen.filter(({ path }) => !fits(path, exclude));
  if (left.length > 0) return left;
  throw new Error(
    `lora: targets choose at least one layer; got none of ${layers.length} by ${JSON.stringify(targets)} without ${JSON.stringify(exclude)}; choose others`,
  );
}
