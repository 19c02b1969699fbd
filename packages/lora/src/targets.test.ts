import { disposeParams } from '@rass/nn';
import { activateBackend, loadGolden } from '@rass/testkit';
import { expect, it, vi } from 'vitest';
import { baseUnet } from './golden.test-support.ts';
import { matchTargets } from './index.ts';
import { layersOf } from './names.ts';
import { pythonRegExp } from './python-regex.ts';
import { checkPatterns } from './targets.ts';

vi.mock('./python-regex.ts', { spy: true });

interface Way {
  target_modules: string[] | string;
  exclude_modules?: string[] | string;
  layers_to_transform?: number | number[];
  layers_pattern?: string[];
  layers: string[];
}

const ways: Record<string, Way> = loadGolden('lora/targets').config;

it.each(Object.entries(ways))(
  'means the layers that peft means: %s',
  async (_, { target_modules, exclude_modules, layers_to_transform, layers_pattern, layers }) => {
    await activateBackend('cpu');
    const base = await baseUnet();
    const found = matchTargets(layersOf(base), {
      targets: target_modules,
      exclude: exclude_modules,
      ...(layers_to_transform !== undefined && { layers: layers_to_transform }),
      ...(layers_pattern && { layersPattern: layers_pattern }),
    });
    expect(found.map(({ path }) => path).sort()).toEqual(layers);
    disposeParams(base);
  },
);

const layers = ['a.to_q', 'a.to_k', 'b.to_q'].map((path) => ({ path, kind: 'linear' }));

it.each([
  ['(?<part>a)\\..*', "(?<, which is JavaScript's; write (?P<name>...)"],
  ['(a)?(?(1)\\.to_q|b)', '(?(; write it without'],
  ['a++\\.to_q', '++, which gives nothing back; write it without'],
  ['(?>a)\\.to_q', '(?>; write it without'],
  ['(?x) a .*', 'the flag (?x); write it without'],
  ['\\p{L}.to_q', '\\p; write it without'],
  ['[ab', 'a [ that is not closed; write it without'],
])('refuses by name what Python or JavaScript cannot read: %s', (source, got) => {
  expect(() => matchTargets(layers, { targets: source })).toThrow(
    `lora: targets: a regular expression is one that Python reads and JavaScript can; got "${source}", with ${got}`,
  );
});

it('refuses what is no regular expression', () => {
  expect(() => matchTargets(layers, { targets: '(a' })).toThrow(
    /^lora: targets: a regular expression is one that Python reads; got "\(a", "Invalid regular expression: .*"; look at it$/,
  );
});

it('counts without a lower end from 0, and takes a brace that counts nothing for one', () => {
  expect(pythonRegExp('x', 'a{,2}').test('aa')).toBe(true);
  expect(pythonRegExp('x', 'a{,2}').test('aaa')).toBe(false);
  expect(pythonRegExp('x', 'a{x}').test('a{x}')).toBe(true);
  expect(pythonRegExp('x', 'a{2}?b').test('aab')).toBe(true);
  expect(pythonRegExp('x', '[]a]+').test(']a')).toBe(true);
  expect(pythonRegExp('x', 'a|ab').test('ab')).toBe(true);
});

it('reads each expression once, however many layers there are', () => {
  const many = Array.from({ length: 50 }, (_, i) => ({ path: `blocks.${i}.to_q`, kind: 'linear' }));
  vi.mocked(pythonRegExp).mockClear();
  checkPatterns(many, { rankPattern: { 'blocks\\.49\\.to_q': 4, 'blocks\\.48\\.to_q': 2 } });
  expect(pythonRegExp).toHaveBeenCalledTimes(2);
  vi.mocked(pythonRegExp).mockClear();
  matchTargets(many, { targets: '.*49\\.to_q', exclude: '.*49\\.to_k|.*48\\.to_q' });
  // Once to check that it means a layer, and once to choose.
  expect(pythonRegExp).toHaveBeenCalledTimes(4);
});
