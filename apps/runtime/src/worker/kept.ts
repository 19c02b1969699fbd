// A module of its own: a model of which nothing is kept does without it.
export { cacheStore, filesStore, storedFolder } from '@rass/weights';
