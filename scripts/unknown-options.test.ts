import { afterAll, expect, it } from 'vitest';
import { type Parameter, publicEntries, publicFunctions } from './public-functions.ts';

const { functions, checker, close } = publicFunctions();
afterAll(close);

/** Packages and entries that this rule does not hold for yet, or that have schemas and errors of their own: adapters, weights, merges. */
const ELSEWHERE =
  /^@rass\/(lora|weights|merge|trainer|runtime|images|datasets|degradation|scenes|training|vae|text-encoder)|^@rass\/(kernels|pipeline)\/node/;

/** What is taken apart and is no options: errors, configurations that a parser has made, records, what other functions check before the call. */
const INPUTS = new Set([
  ...['new BackendError', 'new DeviceError', 'runInPieces', 'convBackboneChannels', 'fusedChannels', 'progressLine'],
  ...['stageLora', 'scrAdapters', 'segAdapters', 'openTagger', 'latentsOf', 'loadClipText', 'scrStep'],
  ...[
    'segStep',
    'studentStep',
    'semanticInference',
    'resizeMap',
    'labelsAtSize',
    'semanticInferenceAsync',
    'padImage',
    'rassFeatures',
    'stableDiffusionTaps',
    'unet',
    'mask2Former',
    'mask2FormerHead',
  ],
  ...['attention', 'attentionWithProbabilities', 'conv2d', 'groupNorm', 'resize', 'loadMask2Former'],
]);

/** Parameters that are options: an object with a property that may be left out, called so or taken apart at once. */
function isOptions({ name, type }: Parameter): boolean {
  const properties = checker.getPropertiesOfType(type);
  const OPTIONAL = 16_777_216;
  return /^(options|__\d+|given)$/.test(name) && properties.some(({ flags }) => (flags & OPTIONAL) !== 0);
}

const wanted = functions.flatMap(({ from, name, parameters }) => {
  const at = parameters.findIndex(isOptions);
  return at < 0 || name.includes('.') || INPUTS.has(name) || ELSEWHERE.test(from) ? [] : [{ from, name, at }];
});

it('there are functions with options in most packages', () => {
  expect(wanted.length).toBeGreaterThan(40);
});

it.each(wanted)('$from: $name refuses an option that it does not have', async ({ from, name, at }) => {
  const module = (await import(publicEntries().get(from)!)) as Record<string, (...given: unknown[]) => unknown>;
  const given = [...Array.from({ length: at }, () => ({})), { nothingReadsThis: true }];
  const call = async (): Promise<unknown> => {
    const [isNew, own] = name.startsWith('new ') ? [true, name.slice(4)] : [false, name];
    const callee = module[own]!;
    const result = await (isNew ? Reflect.construct(callee, given) : callee(...given));
    // What is generated begins with the first item.
    const iterator = (result as AsyncIterable<unknown> | undefined)?.[Symbol.asyncIterator]?.();
    return iterator === undefined ? result : await iterator.next();
  };
  await expect(call()).rejects.toThrow(/nothingReadsThis/);
});
