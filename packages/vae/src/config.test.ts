import { countParams, shapeParams } from '@rass/nn';
import { loadGolden } from '@rass/testkit';
import { expect, it } from 'vitest';
import { parseVaeConfig, tapNames, vaeDecoderParams, vaeEncoderParams, vaeParams } from './index.ts';

const sizes = {
  act_fn: 'silu',
  block_out_channels: [128, 256, 512, 512],
  down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D', 'DownEncoderBlock2D', 'DownEncoderBlock2D'],
  in_channels: 3,
  latent_channels: 4,
  layers_per_block: 2,
  norm_num_groups: 32,
  out_channels: 3,
  up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D'],
};

// As published in the vae folders of runwayml/stable-diffusion-v1-5 and stabilityai/stable-diffusion-2-1, in
// stabilityai/sd-vae-ft-mse, stabilityai/stable-diffusion-xl-base-1.0 and stabilityai/stable-diffusion-3-medium.
const published = {
  'Stable Diffusion 1.5': { _class_name: 'AutoencoderKL', _diffusers_version: '0.6.0', ...sizes, sample_size: 512 },
  'Stable Diffusion 2.1': {
    _class_name: 'AutoencoderKL',
    _diffusers_version: '0.10.0.dev0',
    _name_or_path: 'hf-models/stable-diffusion-v2-768x768/vae',
    ...sizes,
    sample_size: 768,
  },
  'sd-vae-ft-mse': { _class_name: 'AutoencoderKL', _diffusers_version: '0.4.2', ...sizes, sample_size: 256 },
  'Stable Diffusion XL': {
    _class_name: 'AutoencoderKL',
    _diffusers_version: '0.20.0.dev0',
    _name_or_path: '../sdxl-vae/',
    ...sizes,
    force_upcast: true,
    sample_size: 1024,
    scaling_factor: 0.13025,
  },
  'Stable Diffusion 3': {
    _class_name: 'AutoencoderKL',
    _diffusers_version: '0.28.0.dev0',
    ...sizes,
    force_upcast: true,
    latent_channels: 16,
    latents_mean: null,
    latents_std: null,
    sample_size: 1024,
    scaling_factor: 1.5305,
    shift_factor: 0.0609,
    use_post_quant_conv: false,
    use_quant_conv: false,
  },
};

it.each(Object.entries(published))('reads the config.json of %s unchanged', (_, json) => {
  const config = parseVaeConfig(json);
  expect(config).toMatchObject({ blockOutChannels: [128, 256, 512, 512], sampleSize: json.sample_size });
  expect(config.scalingFactor).toBe('scaling_factor' in json ? json.scaling_factor : 0.18215);
});

it("has diffusers' defaults", () => {
  const { defaults } = loadGolden('vae/keys').config;
  expect(Object.keys(defaults).length).toBeGreaterThan(18);
  expect(parseVaeConfig({})).toEqual(parseVaeConfig(defaults));
});

it("asks for Stable Diffusion's keys and shapes, 83,653,863 parameters", () => {
  const golden = loadGolden('vae/keys').config;
  const config = parseVaeConfig(golden.config);
  const shapes: Record<string, readonly number[]> = {};
  const from = shapeParams(({ key, checkpointShape }) => {
    shapes[key] = checkpointShape;
  });
  expect(countParams(vaeParams(from, config))).toBe(83_653_863);
  expect(shapes).toEqual(golden.shapes);
  expect(
    countParams(vaeEncoderParams(shapeParams(), config)) + countParams(vaeDecoderParams(shapeParams(), config)),
  ).toBe(83_653_863);
});

it('lists the feature maps with their sizes', () => {
  const names = tapNames(parseVaeConfig(published['Stable Diffusion 2.1']));
  const of = (name: string) => names.find((tap) => tap.name === name);
  // What RASS reads: 256 channels at a quarter of the size, 512 at an eighth.
  expect(of('encoder.down_blocks.1')).toEqual({ name: 'encoder.down_blocks.1', level: 2, channels: 256 });
  expect(of('encoder.down_blocks.3')).toEqual({ name: 'encoder.down_blocks.3', level: 3, channels: 512 });
  expect(of('quant_conv')).toEqual({ name: 'quant_conv', level: 3, channels: 8 });
  expect(of('decoder.mid_block.attentions.0')).toMatchObject({ level: 3, channels: 512 });
  expect(of('decoder.up_blocks.2')).toMatchObject({ level: 0, channels: 256 });
  expect(of('decoder')).toMatchObject({ level: 0, channels: 3 });
  expect(new Set(names.map(({ name }) => name)).size).toBe(names.length);
});

const refused: [change: Record<string, unknown>, message: string][] = [
  [
    { _class_name: 'AutoencoderTiny' },
    '_class_name is AutoencoderKL; got "AutoencoderTiny"; give that model\'s config.json',
  ],
  [{ latent_chanels: 4 }, 'every field of the config is known; got "latent_chanels"; closest: latent_channels, '],
  [
    { down_block_types: ['AttnDownEncoderBlock2D', 'DownEncoderBlock2D', 'DownEncoderBlock2D', 'DownEncoderBlock2D'] },
    'down_block_types: only DownEncoderBlock2D is implemented, Stable Diffusion\'s block; got "AttnDownEncoderBlock2D"',
  ],
  [{ up_block_types: ['UpDecoderBlock2D'] }, 'up_block_types has one entry for each of block_out_channels, 4; got 1'],
  [{ act_fn: 'gelu' }, 'act_fn: only silu, also called swish, is implemented; got "gelu"'],
  [{ norm_num_groups: 48 }, 'block_out_channels divide into norm_num_groups, 48; got 128'],
  [{ layers_per_block: 1.5 }, 'layers_per_block is a whole number, at least 1; got 1.5; correct config.json'],
  [{ block_out_channels: [] }, 'block_out_channels has at least one number; got []'],
  [{ sample_size: '512' }, 'sample_size is a number of pixels, or one for rows and one for columns; got "512"'],
  [{ force_upcast: 'yes' }, 'force_upcast is true or false; got "yes"'],
  [{ scaling_factor: 0 }, 'scaling_factor is not 0; got 0'],
  [
    { latents_mean: [0, 0, 0, 0] },
    'latents_mean and latents_std go together; got [[0,0,0,0],null]; give both or neither',
  ],
  [{ latents_mean: [0], latents_std: [1] }, 'latents_mean has one number for each of latent_channels, 4; got 1'],
  [
    { latents_mean: [0, 0, 0, 0], latents_std: [1, 1, 1, 1], shift_factor: 0.5 },
    'diffusers does not say how shift_factor and latents_mean go together; got 0.5',
  ],
];

it.each(refused)('refuses %o', (change, message) => {
  const json = { ...published['Stable Diffusion 1.5'], ...change };
  expect(() => parseVaeConfig(json)).toThrow(`vae: ${message}`);
});

it('refuses what is no object, and takes an unknown field that is said not to matter', () => {
  expect(() => parseVaeConfig('{}')).toThrow(
    'vae: a config is an object; got "{}"; parse config.json with JSON.parse first',
  );
  expect(parseVaeConfig({ note: 1 }, { ignore: ['note'] })).toEqual(parseVaeConfig({}));
});
