import { describe, expect, it } from 'vitest';
import { depthOf } from './depth.ts';
import { parseRecipe } from './recipe.ts';

describe('a recipe', () => {
  it('is read with its defaults', () => {
    const text = `
merge_method: ties
base_model: base.safetensors
models:
  - model: a.safetensors
    parameters:
      weight: [0.1, 0.9]
      density: [{filter: conv, value: 0.5}, {block: up_blocks.1, value: [0, 1]}, {value: 1}]
    loras: [{path: l.safetensors}, {path: m, scale: 0.5, adapter: style, component: unet, allow_unused: [emb]}]
parameters: {normalize: true}
dtype: float32
out_dtype: bfloat16
`;
    const recipe = parseRecipe(text, 'r.yaml');
    expect(recipe).toMatchObject({ name: 'r.yaml', text });
    expect(recipe.stages).toEqual([
      {
        merge_method: 'ties',
        base_model: 'base.safetensors',
        models: [
          {
            model: 'a.safetensors',
            parameters: {
              weight: [0.1, 0.9],
              density: [{ filter: 'conv', value: 0.5 }, { block: 'up_blocks.1', value: [0, 1] }, { value: 1 }],
            },
            loras: [
              { path: 'l.safetensors', scale: 1, allow_unused: [] },
              { path: 'm', scale: 0.5, adapter: 'style', component: 'unet', allow_unused: ['emb'] },
            ],
          },
        ],
        parameters: { normalize: true },
        out_dtype: 'BF16',
      },
    ]);
  });

  it('has its stages in documents or in a list', () => {
    const stage = (name: string, model: string) =>
      `{name: ${name}, merge_method: passthrough, models: [{model: ${model}}]}`;
    const documents = parseRecipe(`---\n${stage('x', 'a')}\n---\n${stage('y', 'x')}\n`);
    const list = parseRecipe(`stages:\n  - ${stage('x', 'a')}\n  - ${stage('y', 'x')}\n`);
    expect(documents.stages.map(({ name }) => name)).toEqual(['x', 'y']);
    expect(list.stages).toEqual(documents.stages);
  });

  const linear = 'merge_method: linear\nmodels: [{model: a}]\n';
  it.each([
    ['', 'r.yaml: a recipe has a merge_method and models; got an empty file; see the README'],
    ['a: [', 'r.yaml: a recipe is YAML; got "Flow sequence in block collection must be'],
    ['[1]', 'r.yaml: a recipe is a map of fields; got [1]; see the README'],
    ['models: [{model: a}]', 'r.yaml: merge_method: '],
    ['merge_method: linear', 'r.yaml: models is a list of at least one; got nothing; see the README'],
    ['merge_method: linear\nmodels: []', 'r.yaml: models is a list of at least one; got []'],
    [
      `${linear}base_modle: b`,
      'r.yaml: a recipe has the fields name, merge_method, base_model, parameters, out_dtype, unmatched, dtype, models; got "base_modle"; closest: base_model',
    ],
    [
      'merge_method: linear\nmodels: [{model: a, parameter: {weight: 1}}]',
      'r.yaml: models[0]: an entry of models has the fields model, variant, parameters, loras; got "parameter"; closest: parameters',
    ],
    [
      'merge_method: linear\nmodels: [{model: a, loras: [{path: l, scaling: 2}]}]',
      'r.yaml: models[0]: loras[0]: an entry of loras has the fields path, scale, adapter, dora, alpha, component, allow_unused; got "scaling"; closest: scale',
    ],
    ['merge_method: linear\nmodels: [{model: 3}]', 'r.yaml: models[0]: model: '],
    [
      `${linear}tokenizer_source: union`,
      'r.yaml: tokenizer_source has no place here; there is no tokenizer to merge; copy the files',
    ],
    [
      `${linear}slices: []`,
      'r.yaml: slices has no place here; layers are not stacked; use models, and filter or block',
    ],
    [
      `${linear}dtype: bfloat16`,
      "r.yaml: dtype: merging computes in float32; got bfloat16; set out_dtype: bfloat16 for the result's type",
    ],
    [
      `${linear}out_dtype: bflaot16`,
      'r.yaml: out_dtype is one of float32, float16, bfloat16, F32, F16, BF16; got "bflaot16"; closest: bfloat16',
    ],
    [
      `${linear}parameters: {weight: [{filter: a, block: b, value: 1}]}`,
      'r.yaml: parameters.weight.0: a condition has a filter or a block, not both',
    ],
    [`${linear}parameters: {weight: [1, a]}`, 'r.yaml: parameters.weight'],
    [`${linear}name: my stage`, 'r.yaml: name: a name has letters, digits, _ and - only; got "my stage"'],
    [
      `${linear}---\n${linear}`,
      'r.yaml: stage 1: a stage before the last has a name; got none; later stages name it as a model',
    ],
    [
      `${linear}name: x\n---\n${linear}name: x`,
      'r.yaml: stage "x": each stage has a name of its own; got "x" twice; rename one',
    ],
    [
      `${linear}name: x\nout_dtype: float16\n---\n${linear}`,
      'r.yaml: stage "x": the last stage has an out_dtype; got F16; what comes before stays float32',
    ],
    ['stages: []\nname: x', 'r.yaml: a recipe of stages has the fields stages; got "name"; closest: stages'],
    ['stages: 3', 'r.yaml: stages is a list of at least one; got 3'],
  ])('that is wrong says where: %j', (text, message) => {
    expect(() => parseRecipe(text, 'r.yaml')).toThrow(message);
  });
});

describe('the depth of a tensor', () => {
  it('goes over the blocks of a UNet, evenly', () => {
    const blocks = [
      'down_blocks.0',
      'down_blocks.1',
      'down_blocks.2',
      'down_blocks.3',
      'mid_block',
      'up_blocks.0',
      'up_blocks.1',
      'up_blocks.2',
      'up_blocks.3',
    ];
    const inside = blocks.map((block) => `${block}.resnets.0.conv1.weight`);
    const depth = depthOf([
      ...inside.toReversed(),
      'conv_in.weight',
      'time_embedding.linear_1.bias',
      'conv_norm_out.bias',
      'conv_out.weight',
    ]);
    expect(depth.blocks).toEqual(blocks);
    expect(inside.map((key) => depth.positionOf(key))).toEqual([0, 1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8, 6 / 8, 7 / 8, 1]);
    expect(depth.positionOf('conv_in.weight')).toBe(0);
    expect(depth.positionOf('time_embedding.linear_1.bias')).toBe(0);
    expect(depth.positionOf('conv_norm_out.bias')).toBe(1);
    expect(depth.positionOf('conv_out.weight')).toBe(1);
    expect(depth.blockOf('conv_in.weight')).toBeUndefined();
  });

  it("knows the names of Stable Diffusion's own files, and sorts by number", () => {
    const numbers = Array.from({ length: 12 }, (_, i) => i);
    const prefix = 'model.diffusion_model';
    const keys = [
      ...numbers.map((i) => `${prefix}.output_blocks.${i}.0.weight`),
      `${prefix}.middle_block.1.weight`,
      ...numbers.map((i) => `${prefix}.input_blocks.${i}.0.weight`),
      `${prefix}.out.2.weight`,
    ];
    const depth = depthOf(keys);
    expect(depth.blocks.length).toBe(25);
    expect(depth.blocks[10]).toBe('input_blocks.10');
    expect(depth.positionOf(`${prefix}.middle_block.1.weight`)).toBe(0.5);
    expect(depth.positionOf(`${prefix}.out.2.weight`)).toBe(1);
  });
});

it.each([
  [
    '&a\nmerge_method: linear\nmodels: *a\n',
    'r.yaml: a recipe has plain values, and aliases of values outside of themselves, a few each; got ',
  ],
  [
    `a: &a [1,1]\n${Array.from({ length: 30 }, (_, i) => `b${i}: &b${i} [*${i === 0 ? 'a' : `b${i - 1}`}, *${i === 0 ? 'a' : `b${i - 1}`}]`).join('\n')}\n`,
    'r.yaml: a recipe has plain values, and aliases',
  ],
  [
    'merge_method: linear\nmodels: [{ model: a, parameters: { weight: .inf } }]\n',
    'weight is a finite number, not Infinity',
  ],
  [
    'merge_method: linear\nmodels: [{ model: a, parameters: { weight: .nan } }]\n',
    'weight is a finite number, not NaN',
  ],
])('refuses %.40j with what is wrong', (text, message) => {
  expect(() => parseRecipe(text, 'r.yaml')).toThrow(message);
});
