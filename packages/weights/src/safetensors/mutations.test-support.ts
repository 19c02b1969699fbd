import { seededRandom } from '@rass/testkit';
import { DTYPES } from '../dtype/dtype.ts';

// 10,000 damaged safetensors files from a seed: headers broken as text, as JSON and in meaning, and bytes broken anywhere.

type Next = () => number;

const pick = <T>(next: Next, items: readonly T[]): T => items[Math.floor(next() * items.length)];
const below = (next: Next, limit: number): number => Math.floor(next() * limit);

/** A whole file of a header's text and its data. */
export function fileOf(header: string | Uint8Array, data: Uint8Array | number, length?: bigint): Uint8Array {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const tail = typeof data === 'number' ? new Uint8Array(data) : data;
  const file = new Uint8Array(8 + text.length + tail.length);
  new DataView(file.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  file.set(text, 8);
  file.set(tail, 8 + text.length);
  return file;
}

interface Entry {
  name: string;
  dtype: string;
  shape: (number | string)[];
  offsets: (number | string)[];
}

const BITS: Record<string, number> = { F4: 4, F6_E2M3: 6, F6_E3M2: 6, F64: 64, I64: 64, U64: 64, C64: 64 };
const bitsOf = (dtype: string): number =>
  BITS[dtype] ?? (/^(F32|I32|U32)$/.test(dtype) ? 32 : /^(F16|BF16|I16|U16)$/.test(dtype) ? 16 : 8);

function soundEntries(next: Next): { entries: Entry[]; dataBytes: number } {
  const entries: Entry[] = [];
  let offset = 0;
  const count = below(next, 5);
  for (let i = 0; i < count; i++) {
    const dtype = pick(next, DTYPES);
    const shape = Array.from({ length: below(next, 4) }, () => below(next, 4));
    // A multiple of four elements fills whole bytes in every packed type.
    if (bitsOf(dtype) < 8) shape.push(4);
    const bytes = (shape.reduce((a, b) => a * b, 1) * bitsOf(dtype)) / 8;
    entries.push({
      name: `${pick(next, ['a', 'unet.w', 'é', '😀', '', 'x\\n'])}${i}`,
      dtype,
      shape,
      offsets: [offset, offset + bytes],
    });
    offset += bytes;
  }
  return { entries, dataBytes: offset };
}

const ODD_NUMBERS = [
  ...['0', '-0', '-1', '1.0', '2e0', '1e2', '01', '1.', '.5', '+1', '-', '1e', '1E+1', '0.0', 'NaN', 'Infinity', '0x1'],
  ...['18446744073709551615', '18446744073709551616', '9007199254740993', '4294967296', '9223372036854775808'],
  ...[
    '1e308',
    '1e309',
    '-1e309',
    '1e-400',
    '0e99999999999',
    '1e99999999999',
    '1e-99999999999',
    '1.7976931348623157e308',
  ],
  ...[
    '1.7976931348623159e308',
    '17976931348623157e292',
    '184467440737095516150000.5e10',
    '123456789012345678901234567890',
  ],
];
const ODD_VALUES = [
  ...[
    'null',
    'true',
    'false',
    '"F32"',
    '"f32"',
    '"\\ud800"',
    '"\\udc00"',
    '"\\ud83d\\ude00"',
    '"\\x"',
    '"\\u12"',
    '""',
    '[]',
    '{}',
  ],
  ...[
    '{"F32":null}',
    '{"F32":{}}',
    '{"F32":1}',
    '{"F32":null,"F16":null}',
    '["F32"]',
    '[1,2,3]',
    '[[1]]',
    'nul',
    'True',
    "'a'",
  ],
];
const ODD_ENTRIES = [
  ...[
    '"__metadata__":{}',
    '"__metadata__":null',
    '"__metadata__":{"a":"b"}',
    '"__metadata__":{"a":1}',
    '"__metadata__":[]',
  ],
  ...[
    '"__metadata__":{"a":"b","a":"c"}',
    '"__metadata__":{"a":null}',
    '"__metadata__":"a"',
    '"\\u005f_metadata__":{"k":"v"}',
  ],
  ...[
    '"z":["U8",[0],[0,0]]',
    '"z":["U8",[0],[0,0],0]',
    '"z":["U8",[0]]',
    '"z":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}',
  ],
  ...[
    '"z":{"shape":[0],"dtype":"U8","data_offsets":[0,0],"more":{"deep":[1,null,"x"]}}',
    '"z":null',
    '"z":[]',
    '"z":{}',
    '"z"',
    '1:2',
  ],
  ...[
    '"z":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}',
    '"z":{"dtype":"U8","x":1,"x":2,"shape":[0],"data_offsets":[0,0]}',
  ],
];
const ODD_BYTES = [
  0x22, 0x5c, 0x7b, 0x7d, 0x5b, 0x5d, 0x2c, 0x3a, 0x20, 0x09, 0x0a, 0x0d, 0x0b, 0x00, 0x1f, 0x7f, 0x80, 0xc0, 0xed,
  0xff,
];

function entryText(next: Next, entry: Entry, odd: boolean): string {
  const fields = [
    `"dtype":"${entry.dtype}"`,
    `"shape":[${entry.shape.join(',')}]`,
    `"data_offsets":[${entry.offsets.join(',')}]`,
  ];
  if (!odd) return `"${entry.name}":{${fields.join(',')}}`;
  const kind = below(next, 6);
  if (kind === 0) fields.splice(below(next, 3), 1);
  if (kind === 1) fields.push(pick(next, fields));
  if (kind === 2) fields.reverse();
  if (kind === 3)
    fields[below(next, 3)] = `"${pick(next, ['dtype', 'shape', 'data_offsets'])}":${pick(next, ODD_VALUES)}`;
  if (kind === 4) fields.push(`"extra":${pick(next, [...ODD_VALUES, ...ODD_NUMBERS])}`);
  if (kind === 5) return `"${entry.name}":["${entry.dtype}",[${entry.shape.join(',')}],[${entry.offsets.join(',')}]]`;
  return `"${entry.name}":{${fields.join(',')}}`;
}

function breakMeaning(next: Next, entries: Entry[]): void {
  if (entries.length === 0) return;
  const entry = pick(next, entries);
  const kind = below(next, 7);
  if (kind === 0) entry.dtype = pick(next, [...DTYPES, 'F128', 'f32', '']);
  if (kind === 1)
    entry.shape.splice(
      below(next, entry.shape.length + 1),
      0,
      pick(next, [0, 1, 2, 4294967296, pick(next, ODD_NUMBERS)]),
    );
  if (kind === 2) entry.offsets[below(next, 2)] = pick(next, ODD_NUMBERS);
  if (kind === 3) entry.offsets[below(next, 2)] = Number(entry.offsets[0]) + below(next, 9) - 4;
  if (kind === 4) entry.offsets.push(...pick(next, [[0], [1, 2]]));
  if (kind === 5) entry.name = pick(next, entries).name;
  if (kind === 6 && entry.shape.length > 0) entry.shape[below(next, entry.shape.length)] = below(next, 5);
}

function breakText(next: Next, text: string): string {
  const at = below(next, text.length + 1);
  const kind = below(next, 7);
  if (kind === 0) return ` \n\t\r${text}\n `;
  if (kind === 1)
    return (
      text.slice(0, at) +
      pick(next, ['{', '}', '[', ']', ',', ':', '"', '\\', ' ', '\n', '\u0000', '\ufeff', 'é']) +
      text.slice(at)
    );
  if (kind === 2) return text.slice(0, at) + text.slice(at + 1 + below(next, 4));
  if (kind === 3) return text.replace(/\d+/g, (digits) => (next() < 0.3 ? pick(next, ODD_NUMBERS) : digits));
  if (kind === 4)
    return text.replace(/[,:[\]{}]/g, (sign) =>
      next() < 0.3 ? `${pick(next, [' ', '\n', '\t', '\r'])}${sign} ` : sign,
    );
  if (kind === 5)
    return pick(next, ['', '[]', 'null', '{}', '{', '{}{}', '{} ', '\ufeff{}', '{"a"}', '{,}', '{"a":1,}']);
  const depth = pick(next, [100, 124, 125, 126, 127, 200]);
  return text.replace(/\{"dtype"/, `{"deep":${'['.repeat(depth)}${']'.repeat(depth)},"dtype"`);
}

function breakBytes(next: Next, file: Uint8Array): Uint8Array {
  const kind = below(next, 6);
  const at = below(next, file.length + 1);
  if (kind === 0) return file.slice(0, at);
  if (kind === 1)
    return Uint8Array.from([...file, ...Array.from({ length: 1 + below(next, 9) }, () => below(next, 256))]);
  if (kind === 2) return Uint8Array.from([...file.slice(0, at), pick(next, ODD_BYTES), ...file.slice(at)]);
  const out = file.slice();
  const times = kind === 3 ? 1 : 1 + below(next, 4);
  for (let i = 0; i < times && out.length > 0; i++) {
    const place = kind === 5 ? below(next, Math.min(out.length, 12)) : below(next, out.length);
    out[place] = next() < 0.5 ? out[place] ^ (1 << below(next, 8)) : pick(next, ODD_BYTES);
  }
  return out;
}

const ODD_LENGTHS = [
  0n,
  1n,
  7n,
  8n,
  99_999_999n,
  100_000_000n,
  100_000_001n,
  2n ** 31n,
  2n ** 32n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** The file number `index` of a seed: sound in about one case of ten, else damaged in one to three ways. */
export function mutatedFile(seed: number, index: number): Uint8Array {
  const next = seededRandom(seed * 1_000_003 + index);
  const { entries, dataBytes } = soundEntries(next);
  const damage = below(next, 10);
  if (damage === 1 || damage === 2 || damage === 9) breakMeaning(next, entries);
  const odd = damage === 3 ? below(next, entries.length + 1) : -1;
  const parts = entries.map((entry, i) => entryText(next, entry, i === odd));
  if (next() < 0.3) parts.unshift('"__metadata__":{"format":"pt"}');
  if (damage === 4 || damage === 9) parts.splice(below(next, parts.length + 1), 0, pick(next, ODD_ENTRIES));
  let text = `{${parts.join(',')}}`;
  if (damage === 5 || damage === 6) text = breakText(next, text);
  const extra = damage === 7 && next() < 0.3 ? below(next, 17) - 8 : 0;
  const length = damage === 8 && next() < 0.4 ? pick(next, ODD_LENGTHS) : undefined;
  const file = fileOf(text, Math.max(0, dataBytes + extra), length);
  return damage >= 7 ? breakBytes(next, file) : file;
}
