// A module of its own, so that a page without photographs of the web does not load it.
export { fetchFile } from '@rass/weights';
