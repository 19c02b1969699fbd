import { addressOf } from './client/address.ts';
import type { StoredModel, StoreName } from './protocol/messages.ts';

/** Where a model is kept: `cache` is what a runtime takes by default. */
export interface StoredOptions {
  readonly store?: StoreName;
}

/** The models of which the page keeps files for the next visit. @throws RuntimeError `NoStore` where the page may keep nothing */
export async function storedModels({ store = 'cache' }: StoredOptions = {}): Promise<StoredModel[]> {
  return (await import('./client/stored.ts')).storedModels(store);
}

/** Removes what is kept of a model, by its address; without one, of all models. @throws RuntimeError as storedModels */
export async function removeStored({
  model,
  store = 'cache',
}: StoredOptions & { readonly model?: string | URL } = {}): Promise<void> {
  const address = model === undefined ? undefined : addressOf('model', model);
  await (await import('./client/stored.ts')).removeStored(store, address);
}
