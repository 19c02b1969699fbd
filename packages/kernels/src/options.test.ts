import { describe, expect, it } from 'vitest';
import {
  anything,
  called,
  checkOptions,
  finite,
  flag,
  listOf,
  type OptionRules,
  oneOf,
  positive,
  text,
  whole,
} from './options.ts';

interface Options {
  readonly colourFix?: 'none' | 'adain';
  readonly tags?: readonly string[];
  readonly scale?: number;
  readonly sides?: readonly number[];
  readonly flip?: boolean;
  readonly rate?: number;
  readonly onProgress?: () => void;
  readonly signal?: AbortSignal;
}

const RULES: OptionRules<Options> = {
  colourFix: oneOf('none', 'adain'),
  tags: listOf(text),
  scale: finite,
  sides: listOf(whole(1)),
  flip: flag,
  rate: positive,
  onProgress: called,
  signal: anything,
};

describe('checkOptions', () => {
  it.each<[unknown, string]>([
    [
      { joined: true },
      'f: options have known names; got "joined"; there are colourFix, tags, scale, sides, flip, rate, onProgress, signal',
    ],
    [{ toString: 1 }, 'f: options have known names; got "toString"; there are colourFix'],
    [{ colourFix: 'bogus' }, 'f: colourFix is one of none, adain; got "bogus"; correct it, or leave it out'],
    [{ tags: 'sky' }, 'f: tags is a list, each a text; got "sky"'],
    [{ tags: ['sky', 7] }, 'f: tags is a list, each a text; got [sky,7]'],
    [{ scale: Number.NaN }, 'f: scale is a finite number; got NaN'],
    [{ scale: '1' }, 'f: scale is a finite number; got "1"'],
    [{ sides: [4, 0] }, 'f: sides is a list, each a whole number from 1 on; got [4,0]'],
    [{ sides: [2 ** 53] }, 'f: sides is a list, each a whole number from 1 on; got [9007199254740992]'],
    [{ flip: 'yes' }, 'f: flip is true or false; got "yes"'],
    [{ rate: 0 }, 'f: rate is a finite number above 0; got 0'],
    [{ onProgress: 1 }, 'f: onProgress is a function; got 1'],
    [{ flip: null }, 'f: flip is true or false; got null'],
    [null, 'f: options are an object; got null; give { name: value }'],
    ['sky', 'f: options are an object; got "sky"; give { name: value }'],
  ])('refuses %j', (given, message) => {
    expect(() => checkOptions('f', given as Options, RULES)).toThrow(message);
  });

  it('takes what the rules allow, and undefined for what is left out', () => {
    const given: Options = { colourFix: 'adain', tags: [], scale: -1, sides: [2, 3], flip: false, rate: 1e-9 };
    expect(() => checkOptions('f', { ...given, onProgress: () => {}, signal: undefined }, RULES)).not.toThrow();
    expect(() => checkOptions('f', {}, RULES)).not.toThrow();
  });
});
