import { describe, expect, it } from 'vitest';
import { shapesOnly } from '../checkpoint.test-support.ts';
import { invertRenaming, type Renaming, renameKeys } from './rules.ts';
import { renamedCheckpoint, selectPrefix, viewCheckpoint } from './view.ts';

const renaming: Renaming = [
  [
    { exact: 'head', to: 'classifier.weight' },
    { prefix: 'module.encoder.', to: 'encoder.' },
    { template: 'module.{part}.blocks.{i}.{rest*}', to: '{part}_blocks.{i}.{rest*}' },
  ],
  [{ regex: /\.gamma$/, to: '.weight', inverse: { regex: /\.weight$/, to: '.gamma' } }],
];

describe('rules', () => {
  it('rename by the first that fits of each step, step after step', () => {
    const names = renameKeys(
      ['head', 'module.encoder.norm.gamma', 'module.down.blocks.3.conv.bias', 'other.gamma', 'same'],
      renaming,
    );
    expect(Object.fromEntries(names)).toEqual({
      'classifier.weight': 'head',
      'encoder.norm.weight': 'module.encoder.norm.gamma',
      'down_blocks.3.conv.bias': 'module.down.blocks.3.conv.bias',
      'other.weight': 'other.gamma',
      same: 'same',
    });
  });

  it('are composed by joining their steps', () => {
    const second: Renaming = [[{ prefix: 'encoder.', to: 'vae.encoder.' }]];
    expect([...renameKeys(['module.encoder.x'], [...renaming, ...second]).keys()]).toEqual(['vae.encoder.x']);
  });

  it('take the characters of a template and a prefix as they are', () => {
    const dots: Renaming = [[{ template: 'a.{x}+(b)', to: '{x}' }]];
    expect([...renameKeys(['a.1+(b)', 'aX1+(b)'], dots).keys()]).toEqual(['1', 'aX1+(b)']);
    const whole: Renaming = [[{ template: 'a.b', to: 'c' }]];
    expect([...renameKeys(['a.b', 'a.b.d'], whole).keys()]).toEqual(['c', 'a.b.d']);
    const dollars: Renaming = [[{ template: '{x}', to: '$&{x}$1' }]];
    expect([...renameKeys(['k'], dollars).keys()]).toEqual(['$&k$1']);
  });

  it('drop or refuse what none fits, when told to', () => {
    const rules: Renaming = [[{ prefix: 'unet.', to: '' }]];
    expect([...renameKeys(['unet.a', 'vae.b'], rules, 'drop').keys()]).toEqual(['a']);
    expect(() => renameKeys(['unet.a', 'vae.b'], rules, 'refuse')).toThrow(
      'rename: every key is renamed by a rule; got "vae.b", which none fits',
    );
  });

  it('refuse two keys that become one', () => {
    expect(() => renameKeys(['a.x', 'b.x'], [[{ template: '{any}.x', to: 'x' }]])).toThrow(
      'rename: each key gets a name of its own; got "a.x" and "b.x", which both become "x"',
    );
  });

  it('refuse a template whose result uses what its pattern has not', () => {
    expect(() => renameKeys(['a'], [[{ template: 'a.{b}', to: '{b*}' }]])).toThrow(
      'rename: a template uses the placeholders of its pattern; got {b*} in "{b*}" for "a.{b}"',
    );
  });
});

describe('backwards', () => {
  it('lead back where they came from', () => {
    const keys = ['module.encoder.norm.gamma', 'module.down.blocks.3.conv.bias', 'head'];
    const there = [...renameKeys(keys, renaming.slice(0, 1)).keys()];
    expect([...renameKeys(there, invertRenaming(renaming.slice(0, 1))).keys()]).toEqual(keys);
    expect([...renameKeys(['x.weight'], invertRenaming(renaming)).keys()]).toEqual(['x.gamma']);
    const twice = invertRenaming(invertRenaming(renaming));
    expect(renameKeys(keys, twice)).toEqual(renameKeys(keys, renaming));
  });

  it.each([
    [{ regex: /^a/, to: 'b' }, '/^a/ -> "b"'],
    [{ template: '{a}.{b}', to: '{a}' }, '"{a}.{b}" -> "{a}"'],
    [{ template: '{a}', to: '{a}.{a}' }, '"{a}" -> "{a}.{a}"'],
  ])('are refused, by name, where something is lost', (rule, text) => {
    expect(() => invertRenaming([[rule]])).toThrow(
      `rename: a rule that is run backwards keeps all it matches; got ${text}; a regex takes an inverse`,
    );
  });
});

describe('a renamed checkpoint', () => {
  const below = shapesOnly({ 'unet.a': [4, 3], 'unet.b': [2], 'vae.c': [1] });

  it('has the new keys and the old tensors', async () => {
    const view = selectPrefix(below, 'unet.');
    expect(view.keys()).toEqual(['a', 'b']);
    expect(view.info('a')).toEqual({ dtype: 'F32', shape: [4, 3] });
    expect((await view.read('b')).data).toEqual(new Float32Array(2));
    expect(view.has('unet.a')).toBe(false);
    expect(() => view.info('unet.b')).toThrow('got "unet.b"; closest: b');
    expect(renamedCheckpoint(below, [[{ exact: 'vae.c', to: 'c' }]]).keys()).toEqual(['unet.a', 'unet.b', 'c']);
  });

  it('is checked when it is made', () => {
    const view = (entry: object) => viewCheckpoint(below, new Map([['x', { key: 'unet.a', ...entry }]]));
    expect(view({ rows: [1, 3] }).info('x').shape).toEqual([2, 3]);
    expect(view({ shape: [3, 4] }).info('x').shape).toEqual([3, 4]);
    expect(() => view({ rows: [1, 5] })).toThrow('view: "x": rows lie inside the tensor; got 1 to 5 of [4, 3]');
    expect(() => view({ shape: [5] })).toThrow('view: "x": a new shape has the same elements; got [5] of [4, 3]');
  });
});
