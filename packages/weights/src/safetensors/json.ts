// JSON as the reference implementation's parser (serde_json) takes it, to the letter. JSON.parse differs: it merges
// duplicate keys in silence, takes lone surrogates, any depth and numbers of any size, and rounds large integers.

/** An object with its entries in order, duplicates included. */
export class JsonObject {
  readonly entries: [key: string, value: Json][] = [];
}

/** A number that is not an unsigned 64-bit integer: it has a sign, a point, an exponent or too many digits. */
export class JsonFloat {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** bigint: an unsigned 64-bit integer that a number does not hold exactly. */
export type Json = null | boolean | string | number | bigint | JsonFloat | JsonObject | Json[];

/** Why a text is not the JSON that we take. */
export class JsonError extends Error {
  readonly position: number;
  constructor(message: string, position: number) {
    super(message);
    this.position = position;
  }
}

const MAX_DEPTH = 127;
const MAX_UNSIGNED = 2n ** 64n - 1n;
const MAX_EXPONENT = 2 ** 31 - 1;
const ESCAPES: Record<string, string> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/** Whether significand * 10^exponent overflows a double, computed in the reference's own steps: powers up to 308 by
 * one multiplication, so that the borderline falls where it does there. */
function overflows(significand: bigint, exponent: number): boolean {
  let value = Number(significand);
  if (value === 0 || exponent < 0) return false;
  if (exponent > 308) return true;
  value *= Number(`1e${exponent}`);
  return value === Number.POSITIVE_INFINITY;
}

class JsonScanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): Json {
    const value = this.#value(0);
    this.#space();
    if (this.#at < this.#text.length) this.#fail('nothing but white space follows the value');
    return value;
  }

  #fail(message: string): never {
    throw new JsonError(message, this.#at);
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #value(depth: number): Json {
    this.#space();
    const first = this.#text[this.#at];
    if (first === '{') return this.#object(depth + 1);
    if (first === '[') return this.#array(depth + 1);
    if (first === '"') return this.#string();
    if (first === '-' || (first >= '0' && first <= '9')) return this.#number();
    for (const [word, value] of [
      ['null', null],
      ['true', true],
      ['false', false],
    ] as const) {
      if (!this.#text.startsWith(word, this.#at)) continue;
      this.#at += word.length;
      return value;
    }
    return this.#fail(first === undefined ? 'a value stands here; the text ends' : 'a value stands here');
  }

  #enter(depth: number): void {
    if (depth > MAX_DEPTH) this.#fail(`values nest at most ${MAX_DEPTH} deep`);
    this.#at++;
  }

  #object(depth: number): JsonObject {
    this.#enter(depth);
    const object = new JsonObject();
    this.#space();
    if (this.#take('}')) return object;
    for (;;) {
      this.#space();
      if (this.#text[this.#at] !== '"') this.#fail('a key is a string');
      const key = this.#string();
      this.#space();
      if (!this.#take(':')) this.#fail('a colon follows a key');
      object.entries.push([key, this.#value(depth)]);
      this.#space();
      if (this.#take('}')) return object;
      if (!this.#take(',')) this.#fail('a comma or } follows an entry');
    }
  }

  #array(depth: number): Json[] {
    this.#enter(depth);
    const array: Json[] = [];
    this.#space();
    if (this.#take(']')) return array;
    for (;;) {
      array.push(this.#value(depth));
      this.#space();
      if (this.#take(']')) return array;
      if (!this.#take(',')) this.#fail('a comma or ] follows an element');
    }
  }

  #string(): string {
    this.#at++;
    let value = '';
    for (;;) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids exactly these in strings
      value += this.#match(/[^"\\\u0000-\u001f]*/y);
      if (this.#take('"')) return value;
      if (this.#take('\\')) value += this.#escape();
      else this.#fail(this.#at < this.#text.length ? 'control characters are escaped' : 'a string ends with a quote');
    }
  }

  #escape(): string {
    const letter = this.#text[this.#at++];
    if (letter !== 'u') return ESCAPES[letter] ?? this.#fail('an escape is one of "\\/bfnrtu');
    const first = this.#hex();
    if (first >= 0xdc00 && first <= 0xdfff) this.#fail('a low surrogate follows a high one');
    if (first < 0xd800 || first > 0xdbff) return String.fromCharCode(first);
    if (!this.#take('\\') || !this.#take('u')) this.#fail('a high surrogate is followed by a low one');
    const second = this.#hex();
    if (second < 0xdc00 || second > 0xdfff) this.#fail('a high surrogate is followed by a low one');
    return String.fromCharCode(first, second);
  }

  #hex(): number {
    const digits = this.#match(/[0-9a-fA-F]{4}/y);
    return digits === '' ? this.#fail('\\u is followed by four hexadecimal digits') : Number.parseInt(digits, 16);
  }

  #number(): number | bigint | JsonFloat {
    const text = this.#match(/-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y);
    if (text === '' || /[0-9.eE]/.test(this.#text[this.#at] ?? '')) this.#fail('a number has the form -1.5e+3');
    if (/^[0-9]{1,15}$/.test(text)) return Number(text);
    if (/^[0-9]{16,20}$/.test(text)) {
      const integer = BigInt(text);
      if (integer <= MAX_UNSIGNED) return integer <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(integer) : integer;
    }
    if (!this.#inRange(text)) this.#fail('a number fits in a double');
    return new JsonFloat(text);
  }

  /** The digits that fit in 64 bits are the significand; each further one before the point counts as a power of ten. */
  #inRange(text: string): boolean {
    const [, whole, fraction = '', power = '0'] = /^-?([0-9]+)(?:\.([0-9]+))?(?:[eE](.+))?$/.exec(text) ?? [];
    let significand = 0n;
    let exponent = 0;
    let used = 0;
    for (; used < whole.length; used++) {
      const next = significand * 10n + BigInt(whole[used]);
      if (next > MAX_UNSIGNED) break;
      significand = next;
    }
    exponent += whole.length - used;
    for (const digit of fraction) {
      const next = significand * 10n + BigInt(digit);
      if (next > MAX_UNSIGNED) break;
      significand = next;
      exponent--;
    }
    const given = Number(power);
    if (Math.abs(given) > MAX_EXPONENT) return significand === 0n || given < 0;
    return !overflows(significand, exponent + given);
  }
}

/** Parses one JSON value that fills the text but for white space. @throws JsonError */
export function parseJson(text: string): Json {
  return new JsonScanner(text).document();
}
