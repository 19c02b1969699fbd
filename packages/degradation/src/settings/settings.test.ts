import { describe, expect, it } from 'vitest';
import { type DegradationSettings, degrade } from '../index.ts';
import { checkSettings } from './check.ts';
import { parseDegradationConfig } from './config.ts';
import {
  DEGRADATION_PRESETS,
  OSEDIFF_DEGRADATION,
  PISA_SR_DEGRADATION,
  RASS_DEGRADATION,
  RASS_MILD_DEGRADATION,
  REAL_ESRGAN_DEGRADATION,
} from './presets.ts';

const KERNELS = `
blur_kernel_size: 21
kernel_list: ['iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', 'plateau_aniso']
kernel_prob: [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
sinc_prob: 0.1
blur_sigma: [0.2, 3]
betag_range: [0.5, 4]
betap_range: [1, 2]
blur_kernel_size2: 21
kernel_list2: ['iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', 'plateau_aniso']
kernel_prob2: [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
sinc_prob2: 0.1
blur_sigma2: [0.2, 1.5]
betag_range2: [0.5, 4]
betap_range2: [1, 2]
final_sinc_prob: 0.8
`;

const STRONG = `
resize_prob: [0.2, 0.7, 0.1]  # up, down, keep
resize_range: [0.15, 1.5]
gaussian_noise_prob: 0.5
noise_range: [1, 30]
poisson_scale_range: [0.05, 3]
gray_noise_prob: 0.4
jpeg_range: [30, 95]
second_blur_prob: 0.8
resize_prob2: [0.3, 0.4, 0.3]  # up, down, keep
resize_range2: [0.3, 1.2]
gaussian_noise_prob2: 0.5
noise_range2: [1, 25]
poisson_scale_range2: [0.05, 2.5]
gray_noise_prob2: 0.4
jpeg_range2: [30, 95]
`;

const RASS = `scale: 1\n${STRONG}${KERNELS}`;
const indented = (text: string, by: string): string => text.trim().replace(/^/gm, by);
const changed = (key: string, value: string): string =>
  RASS.replace(new RegExp(`^${key}:.*$`, 'm'), `${key}: ${value}`);

describe('files', () => {
  it('RASS has all keys in the file itself', () => {
    expect(parseDegradationConfig(RASS)).toEqual(RASS_DEGRADATION);
  });

  it.each([
    ['&a\nscale: *a\n', 'a file has plain values, and aliases of values outside of themselves, a few each; got '],
    ['scale: .inf\n', 'got "scale is a finite number, not Infinity"; write them out'],
    ['scale: 1\nblur_sigma: [0.1, .nan]\n', 'got "1 is a finite number, not NaN"; write them out'],
  ])('refuses %j with what is wrong', (text, message) => {
    expect(() => parseDegradationConfig(text)).toThrow(message);
  });

  it('OSEDiff has kernels in kernel_info', () => {
    const file = `scale: 4\ncolor_jitter_prob: 0.0\ngray_prob: 0.0\nresize_back: true\n${STRONG}\nkernel_info:\n${indented(KERNELS, '    ')}`;
    expect(parseDegradationConfig(file)).toEqual(OSEDIFF_DEGRADATION);
  });

  it('Real-ESRGAN has them in datasets.train, among much else, and sharpens', () => {
    const head = 'name: x4\nmodel_type: RealESRGANModel\nscale: 4\nl1_gt_usm: True\ngt_size: 256\n';
    const train = `datasets:\n  train:\n    type: RealESRGANDataset\n    io_backend:\n      type: disk\n${indented(KERNELS, '    ')}`;
    const file = `${head}${STRONG}${train}\nnetwork_g:\n  type: RRDBNet\n`;
    expect(parseDegradationConfig(file)).toEqual(REAL_ESRGAN_DEGRADATION);
    const net = file.replace('RealESRGANModel', 'RealESRNetModel');
    expect(parseDegradationConfig(net).sharpen).toBe(false);
    expect(parseDegradationConfig(`gt_usm: True\n${net}`).sharpen).toBe(true);
  });

  it('a smaller largest kernel leaves the larger ones out', () => {
    expect(parseDegradationConfig(changed('blur_kernel_size2', '11')).second.blur.sizes).toEqual([7, 9, 11]);
  });

  it.each([
    ['jpeg_range2', '', 'my.yml: jpeg_range2: qualities are two numbers above 0 and up to 100, the lower first; got null;'],
    ['noise_range', '[30, 1]', 'my.yml: noise_range: sigmas are two numbers from 0, the lower first; got [30,1];'],
    ['blur_sigma', '[zero, 3]', 'my.yml: blur_sigma: sigmas are two numbers above 0, the lower first; got "zero";'],
    ['resize_range2', '[1.1, 1.2]', 'my.yml: resize_range2: factors are two numbers above 0 with 1 between them; got [1.1,1.2];'],
    ['sinc_prob', '1.5', 'my.yml: sinc_prob: a probability is from 0 to 1; got 1.5;'],
    ['second_blur_prob', 'often', 'my.yml: second_blur_prob: a probability is from 0 to 1; got "often";'],
    ['resize_prob', '[0.5, 0.5]', 'my.yml: resize_prob: a list of three weights: up, down, keep; got 2; write three'],
    ['resize_prob2', '[0, 0, 0]', 'my.yml: resize_prob2: one of the weights up, down and keep is above 0; got {"up":0,'],
    ['resize_prob2', '0.3', 'my.yml: resize_prob2: a list of three weights: up, down, keep; got 0.3;'],
    ['blur_kernel_size', '20', 'my.yml: blur_kernel_size: the largest size is one of 7, 9, 11, 13, 15, 17, 19, 21; got 20;'],
    ['kernel_prob', '[1, 2]', 'my.yml: kernel_prob: there is one weight for each of kernel_list; got 2 for 6; make them as many'],
    ['kernel_list', '[iso, aniso, skew, a, b, c]', 'my.yml: kernel_list: kinds have weights, one of them above 0, by the names iso, aniso,'],
    ['final_sinc_prob', '-1', 'my.yml: final_sinc_prob: a probability is from 0 to 1; got -1; compare with RASS_DEGRADATION'],
    ['scale', '0.5', 'my.yml: scale: the scale is a number from 1; got 0.5;'],
  ])('an error speaks of %s', (key, value, message) => {
    expect(() => parseDegradationConfig(changed(key, value), { name: 'my.yml' })).toThrow(message);
  }); // biome-ignore format: a table

  it('other errors', () => {
    expect(() => parseDegradationConfig('- 1')).toThrow('degradation: the file is a map of keys; got [1]; see');
    expect(() => parseDegradationConfig('a: [1')).toThrow('degradation: the file is YAML; got ');
    expect(() => parseDegradationConfig(`color_jitter_prob: 0.2\n${RASS}`)).toThrow(
      'degradation: color_jitter_prob: colours are not changed here; got 0.2; write 0',
    );
    expect(() => parseDegradationConfig(`gt_usm: 3\n${RASS}`)).toThrow(
      'degradation: gt_usm: it is true or false; got 3;',
    );
  });
});

describe('settings', () => {
  it('every preset is well formed and has a name', () => {
    const presets = [
      RASS_DEGRADATION,
      RASS_MILD_DEGRADATION,
      REAL_ESRGAN_DEGRADATION,
      OSEDIFF_DEGRADATION,
      PISA_SR_DEGRADATION,
    ];
    expect(Object.values(DEGRADATION_PRESETS)).toEqual(presets);
    for (const each of presets) expect(checkSettings('test', each)).toBe(each);
  });

  it('degrade names the field that is not as it must be', () => {
    const image = { width: 1, height: 1, data: new Uint8Array(3) };
    const settings = { ...RASS_DEGRADATION, second: { ...RASS_DEGRADATION.second, jpegQuality: [0, 90] } };
    expect(() => degrade(image, settings as unknown as DegradationSettings, { seed: 1 })).toThrow(
      'degrade: second.jpegQuality: qualities are two numbers above 0 and up to 100, the lower first; got [0,90]; compare with RASS_DEGRADATION',
    );
    const unknown = { ...RASS_DEGRADATION, resize: true } as DegradationSettings;
    expect(() => degrade(image, unknown, { seed: 1 })).toThrow('degrade: resize: ');
  });
});
