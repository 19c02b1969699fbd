import { CAPITAL_I_WITH_DOT, COMPOSING, CONTINUING, flagsOf, lowerCase, SPACE, unitsOf } from './unicode.ts';

const REPLACEMENT = 0xfffd;

/** A text after normalisation, and for each of its UTF-16 units which part of the original it comes from. */
export interface NormalizedText {
  readonly text: string;
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

const isSurrogate = (point: number): boolean => point >= 0xd800 && point <= 0xdfff;

class Writer {
  readonly starts: number[] = [];
  readonly ends: number[] = [];
  #parts = '';
  #afterSpace = false;

  get text(): string {
    return this.#parts;
  }

  /** Appends one composed character: a run of white space becomes one space, which stands for the run's last
   * character as in the reference, the rest lower case. */
  character(point: number, start: number, end: number): void {
    if ((flagsOf(point) & SPACE) !== 0) {
      if (this.#afterSpace) {
        this.starts[this.starts.length - 1] = start;
        this.ends[this.ends.length - 1] = end;
      } else this.#append(0x20, start, end);
      this.#afterSpace = true;
      return;
    }
    this.#afterSpace = false;
    if (point === CAPITAL_I_WITH_DOT) {
      this.#append(0x69, start, end);
      this.#append(0x307, start, end);
    } else this.#append(isSurrogate(point) ? REPLACEMENT : lowerCase(point), start, end);
  }

  #append(point: number, start: number, end: number): void {
    this.#parts += String.fromCodePoint(point);
    for (let unit = unitsOf(point); unit > 0; unit--) {
      this.starts.push(start);
      this.ends.push(end);
    }
  }
}

/** Where the characters that may join the one at `start` end. */
function clusterEnd(text: string, start: number, to: number): number {
  let end = start + unitsOf(text.codePointAt(start) as number);
  while (end < to) {
    const point = text.codePointAt(end) as number;
    if ((flagsOf(point) & CONTINUING) === 0) break;
    end += unitsOf(point);
  }
  return end;
}

function writeEach(writer: Writer, text: string, start: number, end: number): void {
  for (let i = start; i < end; ) {
    const point = text.codePointAt(i) as number;
    writer.character(point, i, i + unitsOf(point));
    i += unitsOf(point);
  }
}

function writeComposed(writer: Writer, text: string, start: number, end: number): void {
  const cluster = text.slice(start, end);
  const composed = cluster.normalize('NFC');
  if (composed === cluster) writeEach(writer, text, start, end);
  else for (const character of composed) writer.character(character.codePointAt(0) as number, start, end);
}

/** NFC, white space to single spaces, lower case: what the tokenizer does before it splits. Composition works on
 * clusters that the tables bound, because the engine may know characters that the reference does not.
 * A lone surrogate becomes U+FFFD. Positions are UTF-16 units of the whole of `text`.
 * @source transformers CLIPTokenizer: Sequence([NFC, Replace(\s+), Lowercase]) */
export function normalize(text: string, from = 0, to = text.length): NormalizedText {
  const writer = new Writer();
  for (let i = from; i < to; ) {
    const point = text.codePointAt(i) as number;
    const head = i + unitsOf(point);
    const end = clusterEnd(text, i, to);
    const composes = (flagsOf(point) & (COMPOSING | CONTINUING)) !== 0;
    if (!composes) writer.character(point, i, head);
    // A combining mark alone may still decompose, so anything but a lone inert character goes through NFC.
    if (composes) writeComposed(writer, text, i, end);
    else if (head < end) writeComposed(writer, text, head, end);
    i = end;
  }
  return writer;
}
