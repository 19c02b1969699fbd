import { flagsOf, SPACE } from './unicode.ts';

/** A token that is looked for in the text itself, before the text is cut into words. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Looked for after lower-casing and the rest of normalisation, not in the text as given. */
  readonly normalized: boolean;
  /** Left out by `decode` with skipSpecialTokens. */
  readonly special: boolean;
  /** Takes the white space on its left with it. */
  readonly stripLeft: boolean;
  /** Takes the white space on its right with it. */
  readonly stripRight: boolean;
}

/** A part of a text: an added token, or what lies between two. */
export interface TextPart {
  readonly start: number;
  readonly end: number;
  readonly added?: AddedToken;
}

/** One token to look for and how it is spelled there. */
export interface Spelling {
  readonly text: string;
  readonly token: AddedToken;
}

/** The earliest spelling at or after `from`, the longest among equals. `seen` keeps where each was last found. */
function nextMatch(
  text: string,
  from: number,
  spellings: readonly Spelling[],
  seen: number[],
): [number, Spelling] | undefined {
  let best: [number, Spelling] | undefined;
  spellings.forEach((spelling, i) => {
    if (seen[i] < from) {
      const found = text.indexOf(spelling.text, from);
      seen[i] = found < 0 ? Number.POSITIVE_INFINITY : found;
    }
    if (seen[i] === Number.POSITIVE_INFINITY) return;
    const longer = best !== undefined && seen[i] === best[0] && spelling.text.length > best[1].text.length;
    if (best === undefined || seen[i] < best[0] || longer) best = [seen[i], spelling];
  });
  return best;
}

const isSpace = (text: string, i: number): boolean => (flagsOf(text.charCodeAt(i)) & SPACE) !== 0;

/** Cuts a text at the added tokens in it, leftmost and longest first. The parts cover the text.
 * @source tokenizers AddedVocabulary::find_matches */
export function splitAtTokens(text: string, spellings: readonly Spelling[]): TextPart[] {
  const parts: TextPart[] = [];
  const seen = spellings.map(() => -1);
  let done = 0;
  let from = 0;
  for (let match = nextMatch(text, 0, spellings, seen); match; match = nextMatch(text, from, spellings, seen)) {
    const [at, { text: spelled, token }] = match;
    from = at + spelled.length;
    let start = at;
    // A token before may have taken the same spaces: `done` stops this one.
    while (token.stripLeft && start > done && isSpace(text, start - 1)) start--;
    if (done < start) parts.push({ start: done, end: start });
    done = from;
    while (token.stripRight && done < text.length && isSpace(text, done)) done++;
    parts.push({ start, end: done, added: token });
  }
  if (done < text.length) parts.push({ start: done, end: text.length });
  return parts;
}
