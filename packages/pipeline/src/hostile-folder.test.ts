import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runBounded } from '@rass/testkit/bounded';
import { beforeAll, describe, expect, it } from 'vitest';

interface Outcome {
  readonly index: number;
  readonly file: string;
  readonly at: string;
  readonly value: string;
  readonly started?: true;
  readonly passed?: true;
  readonly name?: string;
  readonly message?: string;
  readonly seconds: number;
  readonly megabytes: number;
}

const support = new URL('./hostile-folder.test-support.ts', import.meta.url).href;
const RUN = `
  import { runHostileCases } from ${JSON.stringify(support)};
  await runHostileCases(Number(process.argv[1]));
  console.log(JSON.stringify({ index: Infinity }));`;
const cwd = dirname(fileURLToPath(import.meta.url));

/** Names of errors that say of a fault of ours, not of the file's. */
const UNTYPED = ['RangeError', 'TypeError', 'SyntaxError', 'ReferenceError'];

describe('a model folder of whose JSON each value is replaced by a hostile one', () => {
  const outcomes: Outcome[] = [];
  const ended: Outcome[] = [];

  beforeAll(async () => {
    // A case that ends the process is counted, and the rest goes on behind it.
    for (let first = 0; ; ) {
      const { text, problems } = await runBounded(RUN, { cwd, args: [`${first}`], timeoutSeconds: 600 });
      const lines = text.split('\n').filter((line) => line.endsWith('}'));
      const all = lines.map((line) => JSON.parse(line) as Outcome);
      outcomes.push(...all.filter((each) => !each.started && each.index !== null));
      const last = all.at(-1);
      if (last === undefined) throw new Error(`the cases do not begin: ${problems.slice(0, 2000)}`);
      if (last.index === null) break;
      ended.push(last);
      if (ended.length > 10) break;
      first = last.index + 1;
    }
  }, 900_000);

  const shown = ({ file, at, value, name, message }: Outcome) => `${file}: ${at} = ${value}: ${name} ${message}`;

  it('ends no process', () => {
    expect(ended.map(shown)).toEqual([]);
    expect(outcomes.length).toBeGreaterThan(700);
  });

  it('is refused by an error that says where, which rule and what was found', () => {
    const refused = outcomes.filter(({ passed }) => !passed);
    const vague = refused.filter(({ name, message }) => UNTYPED.includes(name!) || !/^[^:]+: .+/s.test(message!));
    expect(vague.map(shown)).toEqual([]);
    expect(refused.length).toBeGreaterThan(outcomes.length / 2);
    expect(refused.filter(({ message }) => message!.length > 12_000).map(shown)).toEqual([]);
  });

  it('takes neither memory nor time', () => {
    const most = outcomes.map(({ megabytes }, i) => megabytes - (outcomes[i - 1]?.megabytes ?? megabytes));
    expect(outcomes.filter((_, i) => most[i]! > 128).map(shown)).toEqual([]);
    expect(outcomes.filter(({ seconds }) => seconds > 20).map(shown)).toEqual([]);
    expect(outcomes.at(-1)!.megabytes).toBeLessThan(1000);
  });

  it.each([
    [
      'rass.json',
      'segmentation.size',
      '1e9',
      'model: files/rass.json: segmentation.size: is at most 4096; got 1000000000; export the model anew',
    ],
    [
      'rass.json',
      'segmentation.head.encoder_layers',
      '1e9',
      'mask2Former: encoder_layers is at most 1000; got 1000000000; correct config.json',
    ],
    [
      'rass.json',
      'segmentation.head.decoder_layers',
      '1e9',
      'mask2Former: decoder_layers is at most 1000; got 1000000000; correct config.json',
    ],
    [
      'rass.json',
      'restoration.timestep',
      '1e9',
      'model: files/rass.json: restoration.timestep: is below 100000; got 1000000000; export the model anew',
    ],
    [
      'rass.json',
      'segmentation.classes.0.colour.0',
      '1e400',
      'model: files/rass.json: segmentation.classes.0.colour.0: is three whole numbers from 0 to 255; got "Infinity"; export the model anew',
    ],
    [
      'unet/config.json',
      'layers_per_block',
      '1e9',
      'unet: layers_per_block is at most 1000; got 1000000000; correct config.json',
    ],
    ['vae/config.json', 'block_out_channels', 'long list', 'vae: block_out_channels has at most 16 numbers; got [1,1,'],
    [
      'text_encoder/config.json',
      'num_hidden_layers',
      '1e9',
      'clipText: num_hidden_layers is at most 1000; got 1000000000; correct config.json',
    ],
    [
      'tokenizer/tokenizer_config.json',
      'model_max_length',
      '1e9',
      'tokenizer: tokenizer_config.json: model_max_length is a whole number from 2 to 65536, or 1e+30 for none; got 1000000000',
    ],
    [
      'tokenizer/vocab.json',
      'a',
      '2^53',
      'tokenizer: vocab.json: ids number the tokens from 0 up; got 9007199254740992 for "a" among 56 tokens',
    ],
    [
      'unet/config.json',
      'attention_head_dim',
      'deep list',
      'files/unet/config.json: the file is JSON; got "values nest at most 100 deep; these nest deeper"',
    ],
    [
      'scheduler/scheduler_config.json',
      'beta_start',
      'prototype',
      'files/scheduler/scheduler_config.json: the file is JSON; got "a key is a name; "__proto__" is none"',
    ],
  ])('%s: %s = %s is refused by its name', (file, at, value, message) => {
    const found = outcomes.find((each) => each.file === file && each.at === at && each.value === value);
    expect(found?.message).toContain(message);
  });
});
