// Control characters, line separators, and marks that turn the order of what is shown.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const escaped = (character: string): string =>
  character === '\n' ? '\\n' : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** A text of a file, such as a key or a class's name, as one line that changes nothing on a terminal: what is no visible character stands as its escape. */
export const printable = (text: string): string => text.replace(UNPRINTABLE, escaped);
