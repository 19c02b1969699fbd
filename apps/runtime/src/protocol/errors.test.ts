import { WeightsError } from '@rass/weights';
import { expect, it } from 'vitest';
import { receivedError, sentError } from './errors.ts';

it('tells rules to programs and messages to people', () => {
  const received = receivedError(sentError(new WeightsError('NotFound', 'm: it is there; got none')));
  expect(received).toMatchObject({ name: 'RuntimeError', rule: 'NotFound', message: 'm: it is there; got none' });
  expect(receivedError(sentError(new RangeError('no')))).toMatchObject({ rule: 'RangeError', message: 'no' });
  expect(receivedError(sentError('no'))).toMatchObject({ rule: 'Error', message: 'no' });
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
