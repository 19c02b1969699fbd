import { checkOptions, listOf, type OptionRules, text } from '@rass/kernels/options';
import { closest, shown } from '@rass/nn';
import * as v from 'valibot';

/** The size that images get, before it is rounded up to a multiple of the divisor. */
export type ProcessorSize =
  /** The shorter side, unless the longer one would then exceed its own. */
  | { readonly shortestEdge: number; readonly longestEdge: number }
  /** As large as fits. */
  | { readonly maxHeight: number; readonly maxWidth: number }
  | { readonly height: number; readonly width: number };

export type Resample = 'nearest' | 'bilinear' | 'bicubic';

/** How images become a model's input, as parseMask2FormerProcessorConfig reads it from preprocessor_config.json. */
export interface Mask2FormerProcessorConfig {
  readonly doResize: boolean;
  readonly size: ProcessorSize;
  /** Resized sides are rounded up to a multiple of it; 0: they are not. */
  readonly sizeDivisor: number;
  readonly resample: Resample;
  readonly doRescale: boolean;
  readonly rescaleFactor: number;
  readonly doNormalize: boolean;
  /** Of red, green and blue, after rescaling. */
  readonly imageMean: readonly number[];
  readonly imageStd: readonly number[];
  /** Pixels of this label belong to no mask. */
  readonly ignoreIndex?: number;
  /** Whether label 0 is to be ignored and the others are to be one less. */
  readonly doReduceLabels: boolean;
  /** Batches are padded to this size instead of their largest image's. */
  readonly padSize?: { readonly height: number; readonly width: number };
}

const COUNT = 'is a whole number from 1 up';
// Pictures are resized and padded to it.
const MOST_PIXELS = 16_384;
const count = v.pipe(
  v.number(COUNT),
  v.integer(COUNT),
  v.minValue(1, COUNT),
  v.maxValue(MOST_PIXELS, `is at most ${MOST_PIXELS}`),
);
const WHOLE = 'is a whole number';
const whole = v.pipe(v.number(WHOLE), v.integer(WHOLE));
const number = v.pipe(v.number('is a number'), v.finite('is a number'));
const flag = v.optional(v.nullable(v.boolean('is true or false')));
const COLOURS = 'is a number, or one for each of three channels';
const colours = v.nullish(v.union([number, v.pipe(v.array(number), v.length(3, COLOURS))], COLOURS));
const SIZE = 'is a number, a list of height and width, or an object of sides';
const sides = v.union(
  [count, v.pipe(v.array(count), v.length(2, SIZE)), v.record(v.string(), v.nullable(count))],
  SIZE,
);

/** Fields of Mask2FormerImageProcessor that matter. @source transformers 5.23 image_processing_mask2former */
const fields = {
  do_resize: flag,
  size: v.nullish(sides),
  max_size: v.nullish(count),
  size_divisor: v.nullish(v.pipe(whole, v.minValue(0, WHOLE), v.maxValue(MOST_PIXELS, `is at most ${MOST_PIXELS}`))),
  resample: v.nullish(whole),
  do_rescale: flag,
  rescale_factor: v.nullish(number),
  do_normalize: flag,
  image_mean: colours,
  image_std: colours,
  ignore_index: v.nullish(whole),
  do_reduce_labels: flag,
  // Its name in older files, such as those of ADE20K.
  reduce_labels: flag,
  pad_size: v.nullish(sides),
};
type Fields = v.InferOutput<v.ObjectSchema<typeof fields, undefined>>;

/** Fields that do nothing to what Mask2Former gets: it always pads, and takes red, green and blue. */
const elsewhere = (
  'image_processor_type feature_extractor_type processor_class num_labels do_pad do_convert_rgb default_to_square ' +
  'crop_size data_format input_data_format device return_tensors disable_grouping image_seq_length model_input_names'
).split(' ');

/** @source transformers IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD */
const IMAGENET_MEAN = [0.485, 0.456, 0.406];
const IMAGENET_STD = [0.229, 0.224, 0.225];
const SHORTEST_EDGE = 800;
const LONGEST_EDGE = 1333;
const SIZE_DIVISOR = 32;
const LEVELS = 255;
/** By Pillow's numbers. */
const RESAMPLES: Readonly<Record<number, Resample>> = { 0: 'nearest', 2: 'bilinear', 3: 'bicubic' };
const BILINEAR = 2;

export interface ProcessorConfigOptions {
  /** Unknown fields that do not matter. */
  readonly ignore?: readonly string[];
}

function refuse(rule: string, got: unknown, remedy = 'correct preprocessor_config.json'): never {
  throw new Error(`mask2Former processor: ${rule}; got ${shown(got)}; ${remedy}`);
}

function checkNames(json: Record<string, unknown>, ignore: readonly string[]): void {
  const type = json['image_processor_type'] ?? json['feature_extractor_type'] ?? 'Mask2FormerImageProcessor';
  // Early checkpoints name MaskFormer's processor, which is the same.
  if (!/^Mask2?Former(ImageProcessor(Fast|Pil)?|FeatureExtractor)$/.test(String(type))) {
    refuse('image_processor_type is Mask2FormerImageProcessor', type, "give Mask2Former's preprocessor_config.json");
  }
  if (json['do_center_crop']) refuse('do_center_crop is not implemented', true, 'Mask2Former does not crop');
  const known = [...Object.keys(fields), ...elsewhere, 'do_center_crop'];
  for (const name of Object.keys(json)) {
    if (name.startsWith('_') || ignore.includes(name) || known.includes(name)) continue;
    const remedy = `closest: ${closest(name, known, 2).join(', ')}; if it does not matter, leave it out`;
    refuse('every field of the config is known', name, remedy);
  }
}

type Sides = v.InferOutput<typeof sides>;

function sizeOf(size: Sides | null | undefined, maxSize: number | null | undefined): ProcessorSize {
  if (size === null || size === undefined) {
    return { shortestEdge: SHORTEST_EDGE, longestEdge: maxSize ?? LONGEST_EDGE };
  }
  if (typeof size === 'number') {
    if (maxSize) return { shortestEdge: size, longestEdge: maxSize };
    refuse('size, where one number, goes with max_size', size, 'give shortest_edge and longest_edge');
  }
  if (Array.isArray(size)) return { height: size[0], width: size[1] };
  const { shortest_edge, longest_edge, max_height, max_width, height, width } = size;
  if (shortest_edge && longest_edge) return { shortestEdge: shortest_edge, longestEdge: longest_edge };
  if (max_height && max_width) return { maxHeight: max_height, maxWidth: max_width };
  if (height && width) return { height, width };
  refuse('size has shortest_edge and longest_edge, max_height and max_width, or height and width', size);
}

function padSizeOf(size: Sides | null | undefined): Mask2FormerProcessorConfig['padSize'] {
  if (size === null || size === undefined) return undefined;
  if (typeof size === 'number') return { height: size, width: size };
  const { height, width } = Array.isArray(size) ? { height: size[0], width: size[1] } : size;
  if (height && width) return { height, width };
  refuse('pad_size has height and width', size);
}

const threeOf = (colours: number | readonly number[]): readonly number[] =>
  typeof colours === 'number' ? [colours, colours, colours] : colours;

function configOf(c: Fields): Mask2FormerProcessorConfig {
  const resample = RESAMPLES[c.resample ?? BILINEAR];
  if (resample === undefined) {
    refuse('resample is 0, nearest, 2, bilinear, or 3, bicubic', c.resample, 'other filters are not implemented');
  }
  const { do_reduce_labels: now, reduce_labels: before } = c;
  if (typeof now === 'boolean' && typeof before === 'boolean' && now !== before) {
    refuse('reduce_labels is the old name of do_reduce_labels', [before, now], 'leave it out');
  }
  const imageStd = threeOf(c.image_std ?? IMAGENET_STD);
  if (imageStd.includes(0)) refuse('image_std is not 0', imageStd);
  return {
    doResize: c.do_resize ?? true,
    size: sizeOf(c.size, c.max_size),
    sizeDivisor: c.size_divisor ?? SIZE_DIVISOR,
    resample,
    doRescale: c.do_rescale ?? true,
    rescaleFactor: c.rescale_factor ?? 1 / LEVELS,
    doNormalize: c.do_normalize ?? true,
    imageMean: threeOf(c.image_mean ?? IMAGENET_MEAN),
    imageStd,
    ignoreIndex: c.ignore_index ?? undefined,
    doReduceLabels: now ?? before ?? false,
    padSize: padSizeOf(c.pad_size),
  };
}

const PROCESSOR_CONFIG_OPTIONS_RULES: OptionRules<ProcessorConfigOptions> = { ignore: listOf(text) };

/** Reads transformers' preprocessor_config.json, unchanged; what is absent has transformers' default, so `{}` is the default.
 * @throws when a field is unknown, has a wrong value, or asks for what is not implemented, each by name
 * @source transformers 5.23 Mask2FormerImageProcessor */
export function parseMask2FormerProcessorConfig(
  json: unknown,
  options: ProcessorConfigOptions = {},
): Mask2FormerProcessorConfig {
  checkOptions('parseMask2FormerProcessorConfig', options, PROCESSOR_CONFIG_OPTIONS_RULES);
  const { ignore = [] } = options;
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    refuse('a config is an object', json, 'parse preprocessor_config.json with JSON.parse first');
  }
  checkNames(json as Record<string, unknown>, ignore);
  const parsed = v.safeParse(v.object(fields), json, { abortEarly: true });
  if (!parsed.success) {
    const [issue] = parsed.issues;
    refuse(`${issue.path?.[0].key} ${issue.message}`, issue.input);
  }
  return configOf(parsed.output);
}
