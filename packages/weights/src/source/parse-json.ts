// No configuration, index or list nests as deep; what reads, compares and prints values goes down into them.
const MAX_DEPTH = 100;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** How deep a text's brackets nest, up to one more than is taken. */
function depthOf(text: string): number {
  let [depth, deepest] = [0, 0];
  for (let i = 0; i < text.length && deepest <= MAX_DEPTH; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      for (i++; i < text.length && text.charCodeAt(i) !== QUOTE; i++) if (text.charCodeAt(i) === BACKSLASH) i++;
    } else if (code === 0x5b || code === 0x7b) deepest = Math.max(deepest, ++depth);
    else if (code === 0x5d || code === 0x7d) depth--;
  }
  return deepest;
}

// What is met in the place of a file that was to be fetched.
const OTHERS: readonly (readonly [start: RegExp, name: string])[] = [
  [/^\s*$/, 'an empty file'],
  [/^version https:\/\/git-lfs/, 'a Git LFS pointer; fetch the file itself'],
  [/^\ufeff?\s*</, 'a web page or XML; the download went wrong'],
];

function refusePrototype(key: string, value: unknown): unknown {
  if (key === '__proto__') throw new SyntaxError('a key is a name; "__proto__" is none');
  return value;
}

/** JSON of a file that may come from anyone: it nests at most 100 deep, and has no key `__proto__`, which would change an object that it is copied to.
 * @throws SyntaxError, which says what is wrong with the text */
export function parseJson(text: string): unknown {
  if (depthOf(text) > MAX_DEPTH) throw new SyntaxError(`values nest at most ${MAX_DEPTH} deep; these nest deeper`);
  // Spelled out or by escapes.
  const mayChange = text.includes('__proto__') || /\\u00(5f|70|72|6f|74)/i.test(text);
  try {
    return mayChange ? JSON.parse(text, refusePrototype) : JSON.parse(text);
  } catch (cause) {
    const [, other] = OTHERS.find(([start]) => start.test(text)) ?? [];
    throw other === undefined ? cause : new SyntaxError(other, { cause });
  }
}
