import { cacheStore, filesStore, listKept, type PieceStore, removeKept, urlFolder } from '@rass/weights';
import { receivedError, sentError } from '../protocol/errors.ts';
import type { StoredModel, StoreName } from '../protocol/messages.ts';

async function inStore<T>(name: StoreName, work: (store: PieceStore) => Promise<T>, none: T): Promise<T> {
  if (name === 'none') return none;
  try {
    return await work(await (name === 'files' ? filesStore() : cacheStore()));
  } catch (error) {
    throw receivedError(sentError(error));
  }
}

export const storedModels = (store: StoreName): Promise<StoredModel[]> =>
  inStore(
    store,
    async (opened) => (await listKept(opened)).map(({ name, ...sizes }) => ({ model: `${name}/`, ...sizes })),
    [],
  );

export const removeStored = (store: StoreName, model: string | undefined): Promise<void> =>
  inStore(store, (opened) => removeKept(opened, model && urlFolder(model).name), undefined);
