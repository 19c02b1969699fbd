export { type NiqeModel, type NiqeOptions, type NiqeSource, niqe, readNiqeModel } from './natural/niqe.ts';
