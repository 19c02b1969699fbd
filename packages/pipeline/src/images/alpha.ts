// Loaded for the first picture that is transparent somewhere.
export { withAlphaOf } from '@rass/images';
