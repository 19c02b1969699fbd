import { PickleError } from './pickle-error.ts';

// Python refuses longer decimal integers too (sys.set_int_max_str_digits): reading them takes quadratic time. Floats have at most 25 characters.
const MAX_DIGITS = 4300;
/** A longer binary integer stands for nothing in a checkpoint. */
export const MAX_INTEGER_BYTES = 1024;

const small = (value: bigint): number | bigint =>
  value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;

/** A little-endian two's complement integer of any length; none is 0. */
export function littleEndianInteger(bytes: Uint8Array): number | bigint {
  let digits = '';
  for (let i = bytes.length - 1; i >= 0; i--) digits += bytes[i].toString(16).padStart(2, '0');
  let value = BigInt(`0x0${digits}`);
  if (bytes.length > 0 && bytes[bytes.length - 1] >= 0x80) value -= 1n << BigInt(8 * bytes.length);
  return small(value);
}

/** A line that holds one number, as text; nothing of one that is too long for it. */
const numeral = (line: Uint8Array): string => {
  if (line.length <= MAX_DIGITS + 2) return latin1(line).trim();
  const start = latin1(line.subarray(0, 20));
  throw new PickleError(
    'BadNumber',
    `pickle: a number has at most ${MAX_DIGITS} digits; got ${line.length} characters, "${start}..."`,
  );
};

/** A line of protocol 0: an integer, with an L behind it if long. */
export function decimalInteger(line: Uint8Array): number | bigint {
  const text = numeral(line).replace(/L$/, '');
  if (/^[+-]?[0-9]+$/.test(text)) return small(BigInt(text.replace(/^\+/, '')));
  throw new PickleError('BadNumber', `pickle: an integer is written in decimal digits; got "${text.slice(0, 40)}"`);
}

/** A line of protocol 0: a float as Python's repr writes it. */
export function decimalFloat(line: Uint8Array): number {
  const text = numeral(line);
  if (/^[+-]?inf$/i.test(text)) return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (/^[+-]?nan$/i.test(text)) return Number.NaN;
  if (/^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?$/i.test(text)) return Number(text);
  throw new PickleError('BadNumber', `pickle: a float is written as Python writes it; got "${text.slice(0, 40)}"`);
}

/** Bytes as the characters of their own codes. */
export function latin1(bytes: Uint8Array): string {
  if (bytes.length <= 8192) return String.fromCharCode(...bytes);
  let text = '';
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return text;
}

/** Characters below 256 as the bytes of their codes; undefined when there are others. */
export function toLatin1(text: string): Uint8Array<ArrayBuffer> | undefined {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xff) return undefined;
    bytes[i] = code;
  }
  return bytes;
}

const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Python writes lone surrogates too; they become U+FFFD here. */
export function utf8(bytes: Uint8Array): string {
  return UTF8.decode(bytes);
}

/** Replaces the escapes of a protocol 0 string: \n, \x41, and with `unicode` \u0041 and \U00000041. */
export function unescapePython(text: string, unicode: boolean): string {
  const simple: Record<string, string> = { n: '\n', t: '\t', r: '\r', '0': '\0', a: '\x07', b: '\b', f: '\f', v: '\v' };
  const pattern = unicode
    ? /\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/g
    : /\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|([\s\S]))/g;
  return text.replace(pattern, (whole, a: string | undefined, b: string | undefined, c: string | undefined) => {
    if (!unicode && b !== undefined) return String.fromCharCode(Number.parseInt(b, 8) & 0xff);
    if (c !== undefined && typeof c === 'string') return simple[c] ?? c;
    const code = Number.parseInt(a ?? b ?? '', 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
