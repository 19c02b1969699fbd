import { disposeParams, type ParamSource, randomParams } from '@rass/nn';
import { activateBackend } from '@rass/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type AdapterState,
  adapterState,
  addAdapter,
  addAdapterState,
  type HostTensor,
  type LoraOptions,
  loraConfig,
  matchTargets,
  mergeAdapters,
  removeAdapter,
  trainAdapters,
  unmergeAdapters,
  useAdapters,
  withDropout,
} from './index.ts';

const params = (from: ParamSource) => ({
  q: from.at('blocks.0.to_q').linear(4, 4),
  k: from.at('blocks.0.to_k').linear(4, 4),
  conv: from.at('blocks.0.conv').conv2d(4, 4, { padding: 1 }),
  norm: from.at('blocks.0.norm').groupNorm(4, { groups: 2 }),
  scale: from.at('scale').parameter([1], { kind: 'constant', value: 1 }),
});

const host = (...shape: number[]): HostTensor => ({
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.1),
});

const state = (layers: AdapterState['layers'], whole: AdapterState['whole'] = new Map()): AdapterState => ({
  rsLora: false,
  layers,
  whole,
});

describe('what is wrong is said', () => {
  beforeAll(() => activateBackend('cpu'));

  it.each<[Partial<LoraOptions> & Record<string, unknown>, string]>([
    [{ targets: ['to_qq'] }, 'lora: no layer matches "to_qq"; closest: to_q, to_k'],
    [{ targets: ['to_q', 'blocks.1.to_k'] }, 'lora: no layer matches "blocks.1.to_k"; closest: blocks.0.to_k'],
    [{ targets: 'blocks\\.0\\.to_' }, 'lora: no layer matches "blocks\\.0\\.to_"; closest: '],
    [{ targets: ['to_q'], exclude: ['to_v'] }, 'lora: exclude: no layer matches "to_v"; closest: to_q, to_k'],
    [
      { targets: ['to_q'], exclude: ['to_q'] },
      'lora: targets choose at least one layer; got none of 5 by ["to_q"] without ["to_q"]; choose others',
    ],
    [
      { targets: ['norm'] },
      'lora: an adapter goes on linear layers, convolutions and embeddings; got blocks.0.norm, a groupNorm; name it in modulesToSave to train it whole',
    ],
    [
      { targets: ['to_q'], modulesToSave: ['scale'] },
      'lora: modulesToSave takes layers; got scale, a tensor that stands alone; train it with trainable() of @rass/nn',
    ],
    [{ targets: ['to_q'], modulesToSave: ['nrm'] }, 'lora: modulesToSave: no layer matches "nrm"; closest: norm'],
    [{ targets: ['to_q'], rnk: 2 }, 'lora: a configuration has known fields; got "rnk"; closest: rank'],
    [{ targets: ['to_q'], rank: 0 }, 'lora: rank: Invalid value: Expected >=1 but received 0; got 0; see LoraConfig'],
    [
      { targets: ['to_q'], dropout: 1 },
      'lora: dropout: Invalid value: Expected <1 but received 1; got 1; see LoraConfig',
    ],
    [{ targets: [] }, 'lora: targets: '],
    [{ targets: ['to_q'], constructor: 1 }, 'lora: a configuration has known fields; got "constructor"'],
    [
      { targets: ['to_q'], rankPattern: { to_k: 2 } },
      'lora: rankPattern: no layer that is adapted matches "to_k"; closest: to_q',
    ],
    [
      { targets: ['to_q'], alphaPattern: { to_q: 3, 'blocks\\.1\\.to_q': 2 } },
      'lora: alphaPattern: no layer that is adapted matches "blocks\\.1\\.to_q"; closest: ',
    ],
    [
      { targets: ['to_q'], rankPattern: JSON.parse('{"__proto__": 2}') },
      'lora: rankPattern: no layer that is adapted matches "__proto__"',
    ],
    [
      { targets: ['to_q'], rankPattern: { constructor: 0 } },
      'lora: rankPattern: Invalid value: Expected patterns with numbers above 0',
    ],
    [
      { targets: ['to_q'], alphaPattern: { 'to_q(?<n>)': 2 } },
      'lora: alphaPattern: a regular expression is one that Python reads and JavaScript can',
    ],
    [
      { targets: ['to_q'], layersPattern: 'blocks' },
      'lora: layersPattern says where numbers of blocks stand; got no layers; give them, or leave it out',
    ],
    [
      { targets: '.*to_q', layers: [0] },
      'lora: layers limit a list of targets; got the text ".*to_q"; say the numbers in it, or give a list',
    ],
  ])('in a configuration: %o', async (options, message) => {
    const tree = params(randomParams(1));
    await expect(addAdapter(tree, options as LoraOptions)).rejects.toThrow(message);
    disposeParams(tree);
  });

  it('in names', async () => {
    const base = params(randomParams(1));
    const tree = await addAdapter(base, { targets: ['to_q'] }, { name: 'first' });
    const cases: [() => unknown, string][] = [
      [() => useAdapters(tree, ['frist']), 'lora: the model has an adapter of each name; got "frist"; closest: first'],
      [() => useAdapters(base, ['first']), 'lora: the model has an adapter of each name; got "first"; it has none'],
      [() => removeAdapter(tree, 'x'), 'lora: the model has an adapter of each name; got "x"; closest: first'],
      [() => trainAdapters(tree, ['x']), 'lora: the model has an adapter of each name; got "x"; closest: first'],
      [
        () => useAdapters(tree, [{ name: 'first', blocks: { 'blocks.1': 0 } }]),
        'lora: each block is the start of the path of a layer that "first" is on; got "blocks.1"; closest: blocks.0, blocks',
      ],
      [
        () => useAdapters(tree, [{ name: 'first', weight: Number.NaN }]),
        'lora: an adapter\'s weight is a finite number; got NaN for "first"; give one, 0 to leave it out',
      ],
      [() => withDropout(tree, 0.5), "lora: a seed is a whole number; got 0.5; give the step's number"],
    ];
    for (const [run, message] of cases) expect(run).toThrow(message);
    const again = { targets: ['to_q'] };
    await expect(addAdapter(tree, again, { name: 'first' })).rejects.toThrow(
      'lora: each adapter has a name of its own; got "first" twice; remove the first, or choose another',
    );
    await expect(addAdapter(tree, again, { name: 'a.b' })).rejects.toThrow(
      'lora: an adapter\'s name has letters, digits, _ and -, and starts with a letter or _; got "a.b"',
    );
    await expect(adapterState(tree)).rejects.toThrow('got "default"; closest: first');
    disposeParams(tree);
  });

  it('in the order of things', async () => {
    const base = params(randomParams(1));
    const tree = await addAdapter(base, { targets: ['to_q'], modulesToSave: ['norm'] });
    const merged = await mergeAdapters(tree);
    const message =
      'lora: adapters are changed in a model that they are not merged into; got blocks.0.to_q merged; call unmergeAdapters first';
    expect(() => useAdapters(merged, [])).toThrow(message);
    expect(() => removeAdapter(merged, 'default')).toThrow(message);
    await expect(mergeAdapters(merged)).rejects.toThrow(
      'lora: adapters are merged once; got blocks.0.to_q merged; call unmergeAdapters first',
    );
    await expect(mergeAdapters(base)).rejects.toThrow(
      'lora: there is something to merge; got a model without adapters; add or load one first',
    );
    expect(() => unmergeAdapters(tree)).toThrow(
      'lora: unmergeAdapters takes what mergeAdapters gave; got a model that is not merged; use it as it is',
    );
    const two = await addAdapter(
      unmergeAdapters(merged),
      { targets: ['to_q'], modulesToSave: ['norm'] },
      { name: 'two', activate: false },
    );
    expect(() => useAdapters(two, ['default', 'two'])).toThrow(
      "lora: a layer or bias trained whole is one adapter's at a time; got blocks.0.norm of default and two; activate one of them",
    );
    const consumed = await mergeAdapters(two, { consume: true });
    expect(() => unmergeAdapters(consumed)).toThrow(
      'lora: the base is there to go back to; it was freed by { consume: true }; load the model again',
    );
  });

  it('in an adapter of another model', () => {
    const base = params(randomParams(1));
    const lora = (path: string, down: HostTensor, up: HostTensor) =>
      state(new Map([[path, { kind: 'lora' as const, down, up, alpha: 1 }]]));
    const cases: [AdapterState, string][] = [
      [
        lora('blocks.0.to_v', host(2, 4), host(4, 2)),
        'lora: the model has each layer of the adapter; got "blocks.0.to_v"; closest: blocks.0.to_q, blocks.0.to_k; it is of another model',
      ],
      [
        lora('blocks.0.to_q', host(2, 4), host(4, 3)),
        'lora: blocks.0.to_q: an adapter has the rank and the sizes of its layer; got up [4,3], expected [4,2]; it is of another model',
      ],
      [
        lora('blocks.0.conv', host(2, 4, 1, 1), host(4, 2, 1, 1)),
        'lora: blocks.0.conv: an adapter has the rank and the sizes of its layer; got down [2,4,1,1], expected [2,4,3,3]; it is of another model',
      ],
      [
        lora('blocks.0.norm', host(2, 4), host(4, 2)),
        'lora: an adapter goes on linear layers, convolutions and embeddings; got blocks.0.norm, a groupNorm',
      ],
      [
        state(new Map(), new Map([['blocks.0.to_q.weight', host(4, 5)]])),
        "lora: blocks.0.to_q.weight: a tensor trained whole has its layer's shape; got [4,5]; it is of another model",
      ],
      [
        state(new Map([['blocks.0.to_q', { kind: 'diff' as const, weight: host(4, 4) }]])),
        'lora: blocks.0.to_q: plain LoRA layers run beside the weight; got diff; fold it in with mergeState, or convertToLora first',
      ],
    ];
    for (const [each, message] of cases) expect(() => addAdapterState(base, each)).toThrow(message);
    disposeParams(base);
  });
});

it("fills in PEFT's defaults", () => {
  expect(loraConfig({ targets: ['to_q'] })).toEqual({ targets: ['to_q'], rank: 8, alpha: 8 });
});

it('lists what targets mean', () => {
  const layers = ['a.to_q', 'a.to_k', 'b.to_q'].map((path) => ({ path, kind: 'linear' }));
  expect(matchTargets(layers, { targets: ['a.to_q', 'to_k'] }).map(({ path }) => path)).toEqual(['a.to_q', 'a.to_k']);
  expect(matchTargets(layers, { targets: 'all-linear', exclude: ['b.to_q'] }).length).toBe(2);
});
