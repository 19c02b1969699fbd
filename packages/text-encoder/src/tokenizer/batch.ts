import type { Token } from './text-tokens.ts';

export interface BatchOptions {
  /** Up to maxLength, or only up to the longest row. Default `max_length`. */
  padding?: 'max_length' | 'longest';
  /** Default the tokenizer's own, 77 for CLIP. */
  maxLength?: number;
  /** Whether a longer text is cut; false makes it an error. Default true. */
  truncate?: boolean;
}

/** Texts as rows of equal length, ready for the text model. */
export interface TokenBatch {
  /** Rows and their length, [B, T]. */
  readonly shape: [number, number];
  /** [B, T] row by row */
  readonly ids: Int32Array<ArrayBuffer>;
  /** [B, T], 1 for tokens and 0 for padding */
  readonly attentionMask: Int32Array<ArrayBuffer>;
  /** Each row's tokens, markers included, padding not. */
  readonly tokens: readonly (readonly Token[])[];
  /** Whether a row was cut. */
  readonly truncated: readonly boolean[];
}

export type Side = 'left' | 'right';

interface Marker {
  readonly id: number;
  readonly text: string;
}

/** What stands around and after each text. */
export interface Framing {
  readonly start: Marker;
  readonly end: Marker;
  readonly padId: number;
  readonly maxLength?: number;
  readonly paddingSide?: Side;
  readonly truncationSide?: Side;
}

const shown = (value: unknown): string => JSON.stringify(value) ?? String(value);

/** A start and an end marker. */
const MARKERS = 2;

function cut(tokens: readonly Token[], room: number, side: Side | undefined): readonly Token[] {
  if (tokens.length <= room) return tokens;
  return side === 'left' ? tokens.slice(tokens.length - room) : tokens.slice(0, room);
}

const marked = ({ id, text }: Marker, at: number): Token => ({ id, text, start: at, end: at, special: true });

function rowLimit(framing: Framing, { padding = 'max_length', maxLength }: BatchOptions): number {
  if (padding !== 'max_length' && padding !== 'longest') {
    throw new Error(`tokenizer: padding is max_length or longest; got ${shown(padding)}; give one of them`);
  }
  const limit = maxLength ?? framing.maxLength ?? Number.POSITIVE_INFINITY;
  if (!(limit >= MARKERS)) {
    throw new Error(`tokenizer: maxLength holds the two markers; got ${limit}; pass 2 or more`);
  }
  if (padding !== 'longest' && !Number.isInteger(limit)) {
    throw new Error(`tokenizer: padding to max_length needs a whole length; got ${limit}; pass maxLength`);
  }
  return limit;
}

function fill(rows: readonly (readonly Token[])[], width: number, framing: Framing): Omit<TokenBatch, 'truncated'> {
  const ids = new Int32Array(rows.length * width).fill(framing.padId);
  const attentionMask = new Int32Array(rows.length * width);
  rows.forEach((tokens, row) => {
    const first = row * width + (framing.paddingSide === 'left' ? width - tokens.length : 0);
    tokens.forEach(({ id }, i) => {
      ids[first + i] = id;
      attentionMask[first + i] = 1;
    });
  });
  return { shape: [rows.length, width], ids, attentionMask, tokens: rows };
}

/** Texts as rows of equal length between markers. @source transformers CLIPTokenizer.__call__ */
export function batchRows(
  tokenize: (text: string) => Token[],
  framing: Framing,
  texts: readonly string[],
  options: BatchOptions = {},
): TokenBatch {
  const limit = rowLimit(framing, options);
  const room = limit - MARKERS;
  const truncated: boolean[] = [];
  const rows = texts.map((text, index) => {
    const words = tokenize(text);
    truncated.push(words.length > room);
    if (truncated[index] && options.truncate === false) {
      throw new Error(
        `tokenizer: a row is at most ${limit} tokens; row ${index} has ${words.length + MARKERS}; shorten it or let it be truncated`,
      );
    }
    return [marked(framing.start, 0), ...cut(words, room, framing.truncationSide), marked(framing.end, text.length)];
  });
  const longest = rows.reduce((width, tokens) => Math.max(width, tokens.length), 0);
  return { ...fill(rows, options.padding === 'longest' ? longest : limit, framing), truncated };
}
