import { createHash } from 'node:crypto';
import type { JsonObject } from '@rass/training/node';
import type { SourceRecipe } from '../recipe/fields.ts';
import { readDegradation } from './degradation.ts';
import { openSource } from './open-source.ts';

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

/** The sources that a source is made of. */
export const partsOf = (source: SourceRecipe): readonly Exclude<SourceRecipe, { kind: 'mix' }>[] =>
  source.kind === 'mix' ? source.parts.flatMap((part) => partsOf(part.source)) : [source];

async function setIdentity(source: SourceRecipe): Promise<JsonObject> {
  const { classes, length, names } = await openSource(source);
  return {
    classes: classes.map(({ name }) => name),
    ...(length !== undefined && { length }),
    ...(names !== undefined && { names: hash(names.join('\n')) }),
  };
}

/** What samples are made of beyond a recipe's own text: the classes of each set and what its samples are called, wherever it lies, and what a
 * file of degradation options says. */
export async function identityOf(settings: {
  readonly data: { readonly source: SourceRecipe };
  readonly degradation: string;
}): Promise<JsonObject> {
  const { data, degradation } = settings;
  return {
    sets: await Promise.all(partsOf(data.source).map(setIdentity)),
    degradation: hash(JSON.stringify((await readDegradation(degradation)) ?? null)),
  };
}
