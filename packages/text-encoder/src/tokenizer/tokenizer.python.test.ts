import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pythonExecutable, runPython } from '@rass/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTokenizer } from '../presets.ts';
import { type Tokenizer, tokenizerFromFiles } from './index.ts';

const script = fileURLToPath(new URL('../../../../test-fixtures/make/text_encoder_tokenizer.py', import.meta.url));
const COUNT = 10_000;
const SEED = 20_260_131;
const LENGTH = 77;
/** The set-ups that the script writes: no configuration, Stable Diffusion 1 and 2 as published, as transformers 4.40
 * saves it with added tokens of every kind and the left side for everything, and as transformers 5 saves that. */
const KINDS = ['bare', 'sd1', 'sd2', 'newer', 'saved'];

interface Details {
  spans: number[][];
  padded: number[][];
  mask: number[][];
  decoded: string[];
  skipped: string[];
}

interface Results {
  texts: string[];
  ids: Record<string, number[][]>;
  details: Record<string, Details>;
  /** Whether NFC leaves the text as it is. */
  unchanged: boolean[];
  every: string[];
  everyIds: number[][];
}

describe.skipIf(pythonExecutable() === undefined)('tokenizer against transformers', () => {
  let folder: string;
  let results: Results;

  const loaded = new Map<string, Tokenizer>();

  function load(kind: string): Tokenizer {
    const read = (name: string): [string, string] => [name, readFileSync(join(folder, kind, name), 'utf8')];
    const tokenizer =
      loaded.get(kind) ?? tokenizerFromFiles(Object.fromEntries(readdirSync(join(folder, kind)).map(read)));
    loaded.set(kind, tokenizer);
    return tokenizer;
  }

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rass-tokenizer-'));
    runPython(script, [folder, `${COUNT}`, `${SEED}`]);
    results = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8'));
    // Python takes some 15 s, and several times that beside other work.
  }, 300_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** As text first: toEqual on ten thousand arrays takes seconds. */
  function expectSame(got: readonly number[], expected: readonly number[], text: string): void {
    if (got.join() !== expected.join()) expect(got, JSON.stringify(text)).toEqual(expected);
  }

  function expectIds(tokenizer: Tokenizer, texts: readonly string[], ids: readonly number[][]): void {
    expect(texts.length).toBe(ids.length);
    texts.forEach((text, i) => {
      expectSame(tokenizer.encode(text), ids[i], text);
    });
  }

  it.each(KINDS)('gives the same ids: %s', (kind) => {
    const ids = results.ids[kind];
    expect(ids.length).toBe(['newer', 'saved'].includes(kind) ? 2000 : COUNT);
    expectIds(load(kind), results.texts.slice(0, ids.length), ids);
  });

  it('gives the same ids from the presets', () => {
    expectIds(createTokenizer(), results.texts, results.ids['sd1']);
    expectIds(createTokenizer({ preset: 'stable-diffusion-2' }), results.texts, results.ids['sd2']);
  });

  it('gives the same ids for every character between letters', () => {
    expect(results.every.length).toBeGreaterThan(500);
    expectIds(load('bare'), results.every, results.everyIds);
  });

  it.each(KINDS)('gives the same rows, masks and decoded texts: %s', (kind) => {
    const tokenizer = load(kind);
    const expected = results.details[kind];
    const texts = results.texts.slice(0, expected.padded.length);
    const batch = tokenizer.encodeBatch(texts, { maxLength: LENGTH });
    texts.forEach((text, i) => {
      const row = (values: Int32Array): number[] => [...values.subarray(i * LENGTH, (i + 1) * LENGTH)];
      expectSame(row(batch.ids), expected.padded[i], text);
      expectSame(row(batch.attentionMask), expected.mask[i], text);
      const ids = tokenizer.encode(text);
      expect(tokenizer.decode(ids)).toBe(expected.decoded[i]);
      expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(expected.skipped[i]);
    });
  });

  it.each(KINDS)('gives the same spans, and wider ones where characters compose: %s', (kind) => {
    const tokenizer = load(kind);
    const { spans } = results.details[kind];
    let exact = 0;
    spans.forEach((expected, i) => {
      const text = results.texts[i];
      const got = tokenizer.tokenize(text).flatMap(({ start, end }) => [start, end]);
      if (results.unchanged[i]) {
        expectSame(got, expected, text);
        exact++;
        return;
      }
      // The reference gives a composed character the span of its first part alone; ours covers all parts.
      const outside = expected.some((at, side) => (side % 2 === 0 ? got[side] > at : got[side] < at));
      if (outside || got.length !== expected.length) expectSame(got, expected, text);
    });
    expect(exact).toBeGreaterThan(300);
  });
});
