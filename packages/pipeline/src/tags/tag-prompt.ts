// By itself, so that it is loaded with the first tag.
export { tagPrompt } from '@rass/attention-alignment';
