import { parseDocument, type Document as YamlDocument } from 'yaml';
import { checkSettings } from './check.ts';
import { KERNEL_SIZES } from './presets.ts';
import type { DegradationSettings } from './settings.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Real-ESRGAN's key for each setting of a round; the second round's have a 2 at their end. */
const ROUND_KEYS = {
  'blur.sincProbability': 'sinc_prob',
  'blur.sigma': 'blur_sigma',
  'blur.generalizedShape': 'betag_range',
  'blur.plateauShape': 'betap_range',
  'resize.range': 'resize_range',
  'noise.gaussianProbability': 'gaussian_noise_prob',
  'noise.sigma': 'noise_range',
  'noise.poissonScale': 'poisson_scale_range',
  'noise.grayProbability': 'gray_noise_prob',
  jpegQuality: 'jpeg_range',
} as const;

/** Steps that OSEDiff's files can ask for, and no file does. */
const NOT_DONE = ['color_jitter_prob', 'gray_prob'] as const;

const isMap = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
const show = (value: unknown): string => JSON.stringify(value) ?? 'nothing';

/** For JSON.stringify: no field of a file is infinite, or no number. */
function finite(field: string, value: unknown): unknown {
  if (typeof value !== 'number' || Number.isFinite(value)) return value;
  throw new RangeError(`${field} is a finite number, not ${value}`);
}

/** @throws where a number is not finite or an alias stands in what it is one of */
function documentValue(where: string, document: YamlDocument): unknown {
  try {
    const value: unknown = document.toJS();
    JSON.stringify(value, finite);
    return value;
  } catch (cause) {
    const reason = (cause as Error).message.split('\n')[0];
    throw new Error(
      `${where}: a file has plain values, and aliases of values outside of themselves, a few each; got "${reason}"; write them out`,
      { cause },
    );
  }
}

function readYaml(where: string, text: string): Fields {
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error !== undefined) throw new Error(`${where}: the file is YAML; got ${error.message}; mend it there`);
  const value = documentValue(where, document);
  if (isMap(value)) return value;
  throw new Error(`${where}: the file is a map of keys; got ${show(value)}; see Real-ESRGAN's options/*.yml`);
}

/** The keys of the file itself and of the maps in which its relatives keep the kernels'. */
function flattened(file: Fields): Fields {
  const { kernel_info: kernels, datasets } = file;
  const train = isMap(datasets) ? datasets.train : undefined;
  return { ...(isMap(train) ? train : {}), ...(isMap(kernels) ? kernels : {}), ...file };
}

function listOf(where: string, fields: Fields, key: string, rule: string): readonly unknown[] {
  const value = fields[key];
  if (Array.isArray(value) && value.length > 0) return value;
  throw new Error(`${where}: ${key}: ${rule}; got ${show(value)}; write such as [0.2, 0.7, 0.1]`);
}

function sizesUpTo(where: string, fields: Fields, key: string): readonly number[] {
  const largest = fields[key];
  const sizes = KERNEL_SIZES.filter((size) => size <= Number(largest));
  if (sizes.at(-1) === largest) return sizes;
  const choices = KERNEL_SIZES.join(', ');
  throw new Error(`${where}: ${key}: the largest size is one of ${choices}; got ${show(largest)}; write such as 21`);
}

function kinds(where: string, fields: Fields, suffix: string): Fields {
  const names = listOf(where, fields, `kernel_list${suffix}`, 'a list of kinds');
  const weights = listOf(where, fields, `kernel_prob${suffix}`, 'a list of weights');
  if (names.length !== weights.length) {
    throw new Error(
      `${where}: kernel_prob${suffix}: there is one weight for each of kernel_list${suffix}; ` +
        `got ${weights.length} for ${names.length}; make them as many`,
    );
  }
  return Object.fromEntries(names.map((name, i) => [String(name), weights[i]]));
}

function setPath(target: Record<string, unknown>, path: string, value: unknown): void {
  const steps = path.split('.');
  const last = steps.pop()!;
  let at = target;
  for (const step of steps) {
    at[step] ??= {};
    at = at[step] as Record<string, unknown>;
  }
  at[last] = value;
}

function round(where: string, fields: Fields, suffix: '' | '2', names: Map<string, string>): Fields {
  const result: Record<string, unknown> = { blurProbability: suffix === '' ? 1 : fields.second_blur_prob };
  const name = suffix === '' ? 'first' : 'second';
  names.set(`${name}.blurProbability`, 'second_blur_prob');
  for (const [path, key] of Object.entries(ROUND_KEYS)) {
    setPath(result, path, fields[key + suffix]);
    names.set(`${name}.${path}`, key + suffix);
  }
  const weights = listOf(where, fields, `resize_prob${suffix}`, 'a list of three weights: up, down, keep');
  if (weights.length !== 3) {
    throw new Error(
      `${where}: resize_prob${suffix}: a list of three weights: up, down, keep; got ${weights.length}; write three`,
    );
  }
  ['up', 'down', 'keep'].forEach((direction, i) => {
    setPath(result, `resize.${direction}`, weights[i]);
    names.set(`${name}.resize.${direction}`, `resize_prob${suffix}`);
  });
  names.set(`${name}.resize`, `resize_prob${suffix}`);
  setPath(result, 'blur.sizes', sizesUpTo(where, fields, `blur_kernel_size${suffix}`));
  setPath(result, 'blur.kinds', kinds(where, fields, suffix));
  names.set(`${name}.blur.kinds`, `kernel_list${suffix}`);
  return result;
}

/** Settings from a YAML file as Real-ESRGAN, OSEDiff and PiSA-SR have them: keys stand in the file itself, in `kernel_info` or in
 * `datasets.train`; those of other things are let alone. The input is sharpened with `gt_usm: true` or a RealESRGANModel; with
 * `resize_back: true` the result is brought back to the input's size.
 * @throws at a key that is missing or not as it must be, by the file's own name for it */
export function parseDegradationConfig(text: string, { name = 'degradation' } = {}): DegradationSettings {
  const fields = flattened(readYaml(name, text));
  for (const key of NOT_DONE) {
    if (fields[key] === undefined || fields[key] === 0) continue;
    throw new Error(`${name}: ${key}: colours are not changed here; got ${show(fields[key])}; write 0`);
  }
  const names = new Map([
    ['resizeBack', 'resize_back'],
    ['sharpen', 'gt_usm'],
    ['finalSinc.probability', 'final_sinc_prob'],
  ]);
  const settings = {
    scale: fields.scale,
    resizeBack: fields.resize_back ?? false,
    sharpen: fields.gt_usm ?? fields.model_type === 'RealESRGANModel',
    first: round(name, fields, '', names),
    second: round(name, fields, '2', names),
    finalSinc: { probability: fields.final_sinc_prob, sizes: KERNEL_SIZES },
  };
  // The longest path that is known: a range's first number goes by the range's key.
  const nameOf = (path: string): string => {
    const steps = path.split('.');
    for (let count = steps.length; count > 0; count--) {
      const known = names.get(steps.slice(0, count).join('.'));
      if (known !== undefined) return known;
    }
    return path;
  };
  return checkSettings(name, settings, nameOf);
}
