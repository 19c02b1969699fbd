import { createHash } from 'node:crypto';
import { randomValues } from '@rass/testkit';
import { describe, expect, it } from 'vitest';
import { openFixture } from '../fixtures.test-support.ts';
import { smallFloatValues, toFloat32 } from './decode.ts';
import { bitsOf, byteLengthOf, bytesOf, DTYPES, type Dtype, isDtype, viewAs } from './dtype.ts';
import { ENCODABLE, fromFloat32 } from './encode.ts';

const golden = await openFixture('golden', 'weights', 'dtypes.safetensors');
const allBytes = () => Uint8Array.from({ length: 256 }, (_, code) => code);
const bitsOfFloats = (values: Float32Array) => [...new Uint32Array(values.buffer, values.byteOffset, values.length)];

describe('values of every code, against PyTorch', () => {
  it.each(['F8_E4M3', 'F8_E5M2', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ', 'F8_E8M0'] as const)('%s', async (dtype) => {
    const expected = (await golden.read(`table/${dtype}`)).data as Float32Array<ArrayBuffer>;
    expect(toFloat32(dtype, allBytes())).toEqual(expected);
  });

  it.each(['F16', 'BF16'] as const)('%s, all 65,536', (dtype) => {
    const values = toFloat32(
      dtype,
      Uint16Array.from({ length: 65536 }, (_, code) => code),
    );
    const withoutNaN = values.map((value) => (Number.isNaN(value) ? 0 : value));
    const hash = createHash('sha256').update(bytesOf(withoutNaN)).digest('hex');
    expect(hash).toBe(JSON.parse(golden.metadata.sha256)[dtype]);
  });
});

describe('values worked out by hand', () => {
  it('of the 4- and 6-bit types, all of them', () => {
    const positive4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
    expect([...smallFloatValues('F4')]).toEqual([...positive4, ...positive4.map((value) => -value)]);
    expect(smallFloatValues('F6_E2M3')[1]).toBe(0.125);
    expect(Math.max(...smallFloatValues('F6_E2M3'))).toBe(7.5);
    expect(smallFloatValues('F6_E3M2')[1]).toBe(0.0625);
    expect(Math.max(...smallFloatValues('F6_E3M2'))).toBe(28);
  });

  it('packed from the lowest bits up', () => {
    expect(toFloat32('F4', Uint8Array.of(0x21, 0xf7), [4])).toEqual(Float32Array.of(0.5, 1, 6, -6));
    // Codes 1, 2, 3, 4 of six bits each.
    const word = 1 | (2 << 6) | (3 << 12) | (4 << 18);
    const packed = Uint8Array.of(word & 255, (word >> 8) & 255, word >> 16);
    expect(toFloat32('F6_E2M3', packed, [4])).toEqual(Float32Array.of(0.125, 0.25, 0.375, 0.5));
  });

  it('of integers, truth values and doubles', () => {
    expect(toFloat32('I64', BigInt64Array.of(-5n, 2n ** 40n))).toEqual(Float32Array.of(-5, 2 ** 40));
    expect(toFloat32('U64', BigUint64Array.of(2n ** 64n - 1n))).toEqual(Float32Array.of(2 ** 64));
    expect(toFloat32('BOOL', Uint8Array.of(0, 1, 7))).toEqual(Float32Array.of(0, 1, 1));
    expect(toFloat32('I8', Int8Array.of(-128, 127))).toEqual(Float32Array.of(-128, 127));
    expect(toFloat32('F64', Float64Array.of(0.1))).toEqual(Float32Array.of(0.1));
  });

  it('keeps a F32 tensor as it is, NaN bits included', () => {
    const values = new Float32Array(Uint32Array.of(0x7fc12345, 0x7f812345).buffer);
    expect(toFloat32('F32', values)).toBe(values);
  });

  it('refuses complex numbers', () => {
    expect(() => toFloat32('C64', Float32Array.of(1, 2))).toThrow(
      'dtype: only real numbers become float32; got C64; use read(), which gives pairs',
    );
  });
});

describe('rounding of float32 values', () => {
  it.each(ENCODABLE.filter((dtype) => bitsOf(dtype) < 32))('to %s is PyTorch’s', async (dtype) => {
    const values = (await golden.read('values')).data as Float32Array<ArrayBuffer>;
    const expected = (await golden.read(`code/${dtype}`)).data as Uint8Array<ArrayBuffer>;
    const ours = fromFloat32(values, dtype) as Uint8Array<ArrayBuffer>;
    expect(ours.length).toBe(expected.length);
    const decodedOurs = toFloat32(dtype, ours);
    const decodedTheirs = toFloat32(dtype, expected);
    const wrong = [...values.keys()].filter((i) => !Object.is(decodedOurs[i], decodedTheirs[i]));
    const show = (i: number) => `${values[i]} is ${decodedOurs[i]}, expected ${decodedTheirs[i]}`;
    expect(wrong.slice(0, 5).map(show)).toEqual([]);
  });

  it.each(['F16', 'BF16', 'F8_E4M3', 'F8_E5M2', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ'] as const)(
    'to %s gives back each of its own numbers',
    (dtype) => {
      const count = 2 ** bitsOf(dtype);
      const codes = Array.from({ length: count }, (_, code) => code);
      const array = bitsOf(dtype) === 8 ? Uint8Array.from(codes) : Uint16Array.from(codes);
      const values = toFloat32(dtype, array);
      const back = toFloat32(dtype, fromFloat32(values, dtype));
      expect(bitsOfFloats(back.filter((value) => !Number.isNaN(value)))).toEqual(
        bitsOfFloats(values.filter((value) => !Number.isNaN(value))),
      );
      expect(back.filter(Number.isNaN).length).toBe(values.filter(Number.isNaN).length);
    },
  );

  it('to F64 and F32 is exact', () => {
    const values = randomValues(100, { seed: 3 });
    expect(fromFloat32(values, 'F64')).toEqual(Float64Array.from(values));
    expect(fromFloat32(values, 'F32')).toBe(values);
  });

  it('reads values that start inside a buffer', () => {
    const inside = new Float32Array(Float32Array.of(9, 1, -2).buffer, 4, 2);
    expect(fromFloat32(inside, 'F16')).toEqual(Uint16Array.of(0x3c00, 0xc000));
    expect(fromFloat32(inside, 'BF16')).toEqual(Uint16Array.of(0x3f80, 0xc000));
  });

  it('refuses a type that it does not write', () => {
    expect(() => fromFloat32(Float32Array.of(1), 'I8')).toThrow(
      'dtype: float32 values are written as F64, F32, F16, BF16, F8_E4M3, F8_E5M2, F8_E4M3FNUZ, F8_E5M2FNUZ; got I8; give the elements themselves',
    );
  });
});

describe('sizes', () => {
  it('are those of the type and the shape', () => {
    expect(byteLengthOf('F32', [2, 3])).toBe(24);
    expect(byteLengthOf('F6_E3M2', [4])).toBe(3);
    expect(byteLengthOf('I64', [])).toBe(8);
    expect(() => byteLengthOf('F4', [3])).toThrow('dtype: a packed tensor fills whole bytes; got F4 [3], 12 bits');
  });

  it('of the arrays that a type is read into', () => {
    const lengths = DTYPES.map((dtype: Dtype) => viewAs(dtype, new Uint8Array(24)).length);
    expect(lengths).toEqual(
      DTYPES.map((dtype) => (dtype === 'C64' ? 6 : bitsOf(dtype) < 8 ? 24 : 192 / bitsOf(dtype))),
    );
    expect(isDtype('F32')).toBe(true);
    expect(isDtype('toString')).toBe(false);
  });
});
