// Loaded for the first picture that is transparent somewhere.
export { flatten, withAlphaOf } from '@rass/images';
