import { type ParamSource, randomParams, trainable } from '@rass/nn';
import { describeOnBackends } from '@rass/testkit';
import { scalar, variable, zeros } from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { describeGroups, groupedVariables, parameterGroups } from './parameter-groups.ts';

const build = (from: ParamSource) => ({
  first: from.at('backbone.conv1').linear(3, 4),
  second: from.at('head.out').linear(4, 2),
});
const tree = () => trainable(build(randomParams(1)), () => true);
const keysOf = (groups: ReturnType<typeof parameterGroups>) =>
  groups.map(({ name, variables }) => [name, Object.keys(variables)]);

describeOnBackends('parameter groups', () => {
  it('puts each variable into the first group that matches, and the rest into the default one', () => {
    const groups = parameterGroups(
      tree(),
      [
        { match: 'bias', weightDecay: 0 },
        { name: 'slow', match: /^backbone/g, learningRateFactor: 0.1 },
      ],
      { name: 'rest', weightDecay: 0.05 },
    );
    expect(keysOf(groups)).toEqual([
      ['bias', ['backbone.conv1.bias', 'head.out.bias']],
      ['slow', ['backbone.conv1.weight']],
      ['rest', ['head.out.weight']],
    ]);
    expect(groups.map(({ learningRateFactor, weightDecay }) => [learningRateFactor, weightDecay])).toEqual([
      [1, 0],
      [0.1, 0.05],
      [1, 0.05],
    ]);
    expect(Object.keys(groupedVariables(groups)).length).toBe(4);
    expect(describeGroups(groups, 1e-4)).toBe(
      [
        'group  tensors  numbers  learning rate  weight decay',
        'bias         2        6         0.0001             0',
        'slow         1       12        0.00001          0.05',
        'rest         1        8         0.0001          0.05',
      ].join('\n'),
    );
  });

  it('lets norms and embeddings decay otherwise, in groups of their own', () => {
    const deep = trainable(
      {
        norm: randomParams(1).at('backbone.norm').layerNorm(4),
        projection: randomParams(1).at('backbone.conv').linear(4, 4),
        grouped: randomParams(1).at('head.norm').groupNorm(4, { groups: 2 }),
        queries: randomParams(1).at('head.queries').embedding(3, 4),
        levels: randomParams(1).at('head.level_embed').parameter([3, 4], { kind: 'normal', deviation: 1 }),
        positions: randomParams(1)
          .at('head.attn.relative_position_bias_table')
          .parameter([9, 2], { kind: 'normal', deviation: 1 }),
      },
      () => true,
    );
    const rules = [{ name: 'backbone', match: /^backbone/, learningRateFactor: 0.1 }];
    const decays = { weightDecay: 0.05, normDecay: 0, embeddingDecay: 0 };
    const groups = parameterGroups(deep, rules, decays);
    // detectron2's rule: modules that are norms or embeddings, and tables of relative positions; a bare parameter decays.
    expect(
      groups.map(({ name, weightDecay, learningRateFactor, variables }) => [
        name,
        weightDecay,
        learningRateFactor,
        Object.keys(variables),
      ]),
    ).toEqual([
      ['backbone: norms', 0, 0.1, ['backbone.norm.weight', 'backbone.norm.bias']],
      ['backbone', 0.05, 0.1, ['backbone.conv.weight', 'backbone.conv.bias']],
      ['default: norms', 0, 1, ['head.norm.weight', 'head.norm.bias']],
      ['default: embeddings', 0, 1, ['head.queries.weight', 'head.attn.relative_position_bias_table']],
      ['default', 0.05, 1, ['head.level_embed']],
    ]);
    expect(keysOf(parameterGroups(deep, [], { weightDecay: 0.05 })).length).toBe(1);
    // What a rule says of its own stands.
    const own = parameterGroups(deep, [{ ...rules[0]!, weightDecay: 0.2 }], decays);
    expect(own[0]).toMatchObject({ name: 'backbone', weightDecay: 0.2 });
    expect(Object.keys(own[0]!.variables).length).toBe(4);
    expect(() => parameterGroups(deep, [], { normDecay: -1 })).toThrow(
      'parameterGroups: the weight decay of "norms" is a number of at least 0; got -1; correct it',
    );
  });

  it('matches a text by whole steps of the key', () => {
    const variables = { 'a.conv.weight': variable(zeros([2])), 'a.conv_in.weight': variable(zeros([3])) };
    expect(keysOf(parameterGroups(variables, [{ match: 'conv' }]))).toEqual([
      ['conv', ['a.conv.weight']],
      ['default', ['a.conv_in.weight']],
    ]);
    expect(keysOf(parameterGroups(variables, [{ name: 'all', match: /./ }]))).toEqual([
      ['all', ['a.conv.weight', 'a.conv_in.weight']],
    ]);
  });

  it('says what is wrong', () => {
    const all = tree();
    expect(() => parameterGroups(all, [{ match: 'backbnoe' }])).toThrow(
      'parameterGroups: each group matches a variable; "backbnoe" matches none; closest: backbone, ',
    );
    expect(() => parameterGroups(all, [{ match: /lora_/ }])).toThrow(
      'parameterGroups: each group matches a variable; "lora_" matches none; keys look like backbone.conv1.weight, ',
    );
    expect(() => parameterGroups(all, [{ match: 'bias' }, { name: 'b', match: /bias$/ }])).toThrow(
      'parameterGroups: the first group that matches takes a variable; "b" gets none, since earlier ones have all 2 that ' +
        'it matches, such as backbone.conv1.bias; put it before them',
    );
    expect(() => parameterGroups(all, [{ name: 'default', match: 'bias' }])).toThrow(
      'parameterGroups: groups have names of their own; got "default" twice; give one a name',
    );
    expect(() => parameterGroups(all, [{ match: 'bias', learningRateFactor: -1 }])).toThrow(
      'parameterGroups: the learning-rate factor of "bias" is a number of at least 0; got -1; correct it',
    );
    expect(() => parameterGroups(all, [], { weightDecay: Number.NaN })).toThrow(
      'parameterGroups: the weight decay of "default" is a number of at least 0; got NaN; correct it',
    );
    expect(() => parameterGroups(build(randomParams(1)))).toThrow(
      'parameterGroups: some tensor is trained; got none; make variables of them by trainable() of @rass/nn',
    );
    const one = variable(zeros([2]));
    expect(() => parameterGroups({ a: one, b: one })).toThrow(
      'parameterGroups: a variable has one key; got "a" and "b" for the same; leave one out',
    );
    expect(() => parameterGroups({ a: one, b: variable(scalar(1, 'int32')) })).toThrow(
      'parameterGroups: what is trained are float32 variables; got int32 for "b"; leave it out',
    );
    expect(() => parameterGroups({ a: one, b: zeros([2]) })).toThrow(
      'parameterGroups: what is trained are float32 variables; got a frozen tensor for "b"; leave it out',
    );
  });
}, ['cpu']);
