import { findLabelFault } from '@rass/datasets';
import type { Allowed, SourceRecipe } from '../recipe/fields.ts';
import type { Recipe, ScrRecipe } from '../recipe/recipes.ts';
import { partsOf } from './identity.ts';
import { openSource } from './open-source.ts';
import { readsLabels } from './recipe-feed.ts';

/** Something that a training would come to nothing by. */
interface Fault {
  readonly kind: Allowed;
  readonly message: string;
}

const placeOf = (source: SourceRecipe): string => {
  if ('folder' in source) return source.folder;
  return 'file' in source ? source.file : source.kind === 'coco' ? source.annotations : source.kind;
};

async function labelFaults(source: SourceRecipe, where: string): Promise<Fault[]> {
  const found = await Promise.all(
    partsOf(source).map(async (part) => {
      const fault = await findLabelFault(await openSource(part));
      return fault && { kind: fault.kind, message: `${where}: ${placeOf(part)}: ${fault.message}` };
    }),
  );
  return found.filter((each) => each !== undefined);
}

/** That all samples of a source have labels, each part's and each line's.
 * @throws when some have none: what needs them would end at the first of those */
async function checkLabelled(source: SourceRecipe, rule: string, remedy: string): Promise<void> {
  for (const part of partsOf(source)) {
    const { classes, unlabelled = [] } = await openSource(part);
    if (classes.length > 0 && unlabelled.length === 0) continue;
    const some = unlabelled.length > 1 ? ` and ${unlabelled.length - 1} more` : '';
    const got = classes.length === 0 ? '' : ` with ${unlabelled[0]}${some}`;
    throw new Error(`recipe: ${rule}; got none${got} in ${placeOf(part)}; ${remedy}`);
  }
}

/** Why a prompt never names anything; undefined where it does. */
function emptyPrompts({ tags, dropPrompt }: ScrRecipe, labelled: boolean): string | undefined {
  if (tags === 'none') return 'tags is none';
  if (dropPrompt === 1) return 'dropPrompt is 1';
  return labelled ? undefined : 'the samples have no labels';
}

/** Losses of stage 1 that would be 0 at every step: an alignment without tags; CSD, whose goal is the prompt's part of the judge's guess. */
function zeroLosses(recipe: ScrRecipe, labelled: boolean): Fault[] {
  const { loss } = recipe;
  const empty = emptyPrompts(recipe, labelled);
  const faults: Fault[] = [];
  const add = (field: string, got: string, remedy: string): void => {
    faults.push({
      kind: 'zero-loss',
      message: `recipe: ${field}: a loss is above 0 at some step; got one that stays 0, since ${got}; ${remedy}`,
    });
  };
  if (loss.alignment > 0 && empty !== undefined)
    add('loss.alignment', empty, 'set loss.alignment=0, or give a source with labels, and tags');
  if (loss.distillation === 0 || loss.kind !== 'csd') return faults;
  if (loss.guidance === 0) add('loss.distillation', 'loss.guidance is 0', 'set loss.kind=none, or guidance');
  else if (empty !== undefined && loss.negativePrompt === '')
    add(
      'loss.distillation',
      `${empty}, and prompts are the empty negative prompt`,
      'set loss.kind=none, or give loss.negativePrompt',
    );
  return faults;
}

/** That the samples of a recipe can teach what it asks for: told before anything starts.
 * @throws with a line for each thing that `data.allow` does not name */
export async function checkSamples(
  recipe: Recipe,
  { classes }: { readonly classes: readonly unknown[] },
): Promise<void> {
  const { data, validation } = recipe;
  const faults: Fault[] = [];
  if (recipe.kind === 'seg')
    await checkLabelled(data.source, 'data.source: what is learned from has labels', 'give labels, or leave it out');
  if (readsLabels(recipe)) faults.push(...(await labelFaults(data.source, 'recipe: data.source')));
  if (recipe.kind === 'scr') faults.push(...zeroLosses(recipe, classes.length > 0));
  const scored = validation.every > 0 ? validation.source : undefined;
  if (recipe.kind === 'seg' && scored !== undefined) {
    const remedy = 'give another set, or set validation.every=0';
    await checkLabelled(scored, 'validation.source: what is scored has labels', remedy);
    faults.push(...(await labelFaults(scored, 'recipe: validation.source')));
  }
  const left = faults.filter(({ kind }) => !data.allow.includes(kind));
  if (left.length === 0) return;
  const kinds = [...new Set(left.map(({ kind }) => kind))];
  throw new Error(
    [
      ...left.map(({ message }) => message),
      `to train all the same: --set data.allow=[${[...data.allow, ...kinds].join(',')}]`,
    ].join('\n'),
  );
}
