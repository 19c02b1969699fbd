import { composing, continuing, letters, lowered, numbers, spaces } from './unicode.generated.ts';

/** What is known of a code point, as bits. A character has at most one of the first three. */
export const LETTER = 1;
export const NUMBER = 2;
export const SPACE = 4;
/** In NFC it may join the character before it: a combining mark, or the second of a pair that composes. */
export const CONTINUING = 8;
/** In NFC it decomposes or may join the character after it. */
export const COMPOSING = 16;

const CODE_POINTS = 0x110000;
/** The one character whose lower case is two: i and U+0307. */
export const CAPITAL_I_WITH_DOT = 0x130;

let flags: Uint8Array | undefined;
let lower: Map<number, number> | undefined;

function decodeNumbers(text: string): number[] {
  return text.split(' ').map((digits) => Number.parseInt(digits, 36));
}

function readFlags(): Uint8Array {
  const table = new Uint8Array(CODE_POINTS);
  const sets: [number, string][] = [
    [LETTER, letters],
    [NUMBER, numbers],
    [SPACE, spaces],
    [CONTINUING, continuing],
    [COMPOSING, composing],
  ];
  for (const [bit, text] of sets) {
    const gaps = decodeNumbers(text);
    let edge = 0;
    for (let i = 0; i < gaps.length; i += 2) {
      const start = edge + gaps[i];
      edge = start + gaps[i + 1];
      for (let point = start; point < edge; point++) table[point] |= bit;
    }
  }
  return table;
}

function readLower(): Map<number, number> {
  const table = new Map<number, number>();
  const runs = decodeNumbers(lowered);
  let start = 0;
  for (let i = 0; i < runs.length; i += 4) {
    start += runs[i];
    const [, length, step, shift] = runs.slice(i, i + 4);
    for (let n = 0; n < length; n++) table.set(start + n * step, start + n * step + shift);
  }
  return table;
}

/** The bits of a code point. */
export function flagsOf(point: number): number {
  flags ??= readFlags();
  return flags[point];
}

/** Lower case of one character, never looking at its neighbours: no final sigma. U+0130 is left to the caller. */
export function lowerCase(point: number): number {
  if (point < 0x80) return point >= 0x41 && point <= 0x5a ? point + 0x20 : point;
  lower ??= readLower();
  return lower.get(point) ?? point;
}

/** How many UTF-16 units a code point takes. */
export function unitsOf(point: number): number {
  return point > 0xffff ? 2 : 1;
}
