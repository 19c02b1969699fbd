import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WeightsError } from '@rass/weights';
import { expect, it } from 'vitest';
import { receivedError, sentError } from './errors.ts';
import { isRule, RULES } from './rules.ts';

it('documents every rule, and has no other', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const section = /## Errors\n([\s\S]*?)\n## /.exec(readme)![1]!;
  const listed = [...section.matchAll(/^\| `(\w+)` +\| \w.*\|$/gm)].map(([, rule]) => rule).slice(1);
  expect(listed).toEqual(RULES);
});

it('knows each error of what it is made of by a rule', () => {
  const folders = [
    'kernels',
    'weights',
    'pipeline',
    'nn',
    'unet',
    'vae',
    'mask2former',
    'text-encoder',
    'lora',
    'rass',
  ];
  const sources = folders.flatMap((name) => {
    const folder = fileURLToPath(new URL(`../../../../packages/${name}/src`, import.meta.url));
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    return files
      .filter((file) => /(?<!test|test-support)\.ts$/.test(file))
      .map((file) => readFileSync(join(folder, file), 'utf8'));
  });
  const rules = new Set(
    sources.flatMap((text) => [...text.matchAll(/\w+Error\(\s*'([A-Z]\w+)'/g)].map(([, rule]) => rule!)),
  );
  expect(rules.size).toBeGreaterThan(20);
  for (const rule of rules) {
    for (const call of ['open', 'segment'] as const) {
      const sent = sentError(Object.assign(new Error('x'), { name: 'WeightsError', rule }), call);
      expect(isRule(sent.rule), rule).toBe(true);
      if (isRule(rule)) expect(sent.rule).toBe(rule);
      else expect(sent.rule).toBe(call === 'open' ? 'BadModel' : 'Failed');
    }
  }
});

it('tells rules to programs and messages to people', () => {
  const received = receivedError(sentError(new WeightsError('NotFound', 'm: it is there; got none')));
  expect(received).toMatchObject({ name: 'RuntimeError', rule: 'NotFound', message: 'm: it is there; got none' });
  expect(receivedError(sentError('no'))).toMatchObject({ rule: 'Failed', message: 'no' });
});

it.each([
  'Failed to fetch dynamically imported module: https://site/assets/segment-1.js',
  'error loading dynamically imported module: https://site/assets/segment-1.js',
  'Importing a module script failed.',
])('says what to do about a part that is not served: %s', (message) => {
  expect(receivedError(sentError(new TypeError(message)))).toMatchObject({
    rule: 'PartMissing',
    message: `runtime: its parts are loaded as they are needed; got "${message}"; serve all files beside the worker's as long as pages are open`,
  });
});
