import { describe, expect, it } from 'vitest';
import { compareVersions, cudaRequirements, meetsSpecifier, parseWheelName } from './wheels.ts';

describe('wheels', () => {
  it('splits wheel names, with and without a build number, and refuses others', () => {
    const name = 'tensorflow_cpu-2.16.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl';
    expect(parseWheelName(name)).toEqual({
      project: 'tensorflow_cpu',
      version: '2.16.2',
      python: 'cp311',
      platform: 'manylinux_2_17_x86_64.manylinux2014_x86_64',
    });
    expect(parseWheelName('a-1.0-2-py3-none-any.whl')).toMatchObject({
      version: '1.0',
      python: 'py3',
      platform: 'any',
    });
    expect(parseWheelName('tensorflow-2.16.2.tar.gz')).toBeUndefined();
    expect(parseWheelName('tensorflow.whl')).toBeUndefined();
  });

  it('reads the CUDA libraries out of METADATA, in both spellings, and nothing else', () => {
    const metadata = [
      'Requires-Dist: numpy<2.2.0,>=1.26.0',
      'Requires-Dist: nvidia-cublas-cu12<13.0,>=12.5.3.2; extra == "and-cuda"',
      "Requires-Dist: nvidia-cudnn-cu12 (<10.0,>=9.3.0.75) ; extra == 'and-cuda'",
      'Requires-Dist: nvidia-nvjitlink-cu12==12.5.82; extra == "and-cuda"',
      'Requires-Dist: nvidia-other; extra == "docs"',
    ].join('\n');
    expect(cudaRequirements(metadata)).toEqual([
      { project: 'nvidia-cublas-cu12', specifier: '<13.0,>=12.5.3.2' },
      { project: 'nvidia-cudnn-cu12', specifier: '<10.0,>=9.3.0.75' },
      { project: 'nvidia-nvjitlink-cu12', specifier: '==12.5.82' },
    ]);
  });

  it('orders versions by number, not by text', () => {
    expect(compareVersions('9.10', '9.9')).toBeGreaterThan(0);
    expect(compareVersions('2.16', '2.16.0')).toBe(0);
    expect(compareVersions('2.16.2', '2.17')).toBeLessThan(0);
  });

  it.each([
    ['12.5.3.2', '<13.0,>=12.5.3.2', true],
    ['13.0', '<13.0,>=12.5.3.2', false],
    ['2.16.2', '==2.16.2', true],
    ['2.16.2', '==2.16.*', true],
    ['2.17.0', '==2.16.*', false],
    ['2.16.2', '!=2.16.2', false],
    ['2.16.9', '~=2.16.2', true],
    ['2.17.0', '~=2.16.2', false],
    ['3.0', '~=2.16', false],
    ['2.16.2', '>2.16.2', false],
    ['2.16.2', '<=2.16.2', true],
    ['2.16.2', '', true],
    ['2.17.0rc1', '>=2.16', false],
    ['1.0.post2', '>=1.0', true],
  ])('%s meets "%s": %s', (version, specifier, expected) => {
    expect(meetsSpecifier(version, specifier)).toBe(expected);
  });

  it('refuses a clause that it does not know', () => {
    expect(() => meetsSpecifier('1.0', '===1.0+local')).toThrow(
      'backend install: a requirement\'s version must be a plain one; got "===1.0+local"; name another TensorFlow version',
    );
  });
});
