import { closest } from '@rass/nn';
import * as v from 'valibot';
import { pythonRegExp } from './python-regex.ts';

/** Where an adapter's matrices start. `pissa` and `olora` also take what they start with out of the base weight.
 * @source PEFT init_lora_weights; arXiv 2404.02948 (PiSSA), 2406.01775 (OLoRA) */
export type LoraInit = 'default' | 'gaussian' | 'pissa' | 'olora' | 'orthogonal' | { readonly pissaIterations: number };

/** How an adapter is laid over a model; names and defaults are PEFT's. @source peft LoraConfig */
export interface LoraConfig {
  /** Columns of the low-rank product; default 8. */
  readonly rank: number;
  /** The product is scaled by alpha / rank; default 8. */
  readonly alpha: number;
  /** A list: paths that are an entry, or end with `.` and it. A text: a regular expression, in Python's spelling, that the whole path
   * fits. `all-linear`: every linear layer. */
  readonly targets: readonly string[] | string;
  /** The numbers of the blocks that a list of targets is limited to. @source peft layers_to_transform */
  readonly layers?: number | readonly number[];
  /** What stands before the number of the block, by a regular expression. @source peft layers_pattern */
  readonly layersPattern?: string | readonly string[];
  /** Paths left out, by the same rules. */
  readonly exclude?: readonly string[] | string;
  /** Other ranks by pattern: a regular expression that the path, or its end behind a dot, fits. The first that fits counts. */
  readonly rankPattern?: Readonly<Record<string, number>>;
  readonly alphaPattern?: Readonly<Record<string, number>>;
  /** Scale by alpha / sqrt(rank). @source arXiv 2312.03732 */
  readonly rsLora?: boolean;
  /** Learn the length of each row of the weight apart from its direction. @source arXiv 2402.09353 */
  readonly dora?: boolean;
  /** Share of the inputs that training drops in front of the low-rank product. */
  readonly dropout?: number;
  /** Share of the ranks that a training step drops. @source kohya sd-scripts rank_dropout */
  readonly rankDropout?: number;
  /** Share of the layers whose product a training step leaves out. @source kohya sd-scripts module_dropout */
  readonly moduleDropout?: number;
  readonly init?: LoraInit;
  /** Biases that are trained, as the adapter's own copies: none (default), those of the layers with factors, or all of the model's. */
  readonly bias?: 'none' | 'lora_only' | 'all';
  /** A bias of the second factor, added with the product. */
  readonly loraBias?: boolean;
  /** Layers trained whole, by the rules of a list in `targets`, or parts of the model with all of theirs: their weights belong to the
   * adapter. A layer may be both. */
  readonly modulesToSave?: readonly string[];
  /** What PEFT's configuration says of the adapter beside how it acts, such as `base_model_name_or_path`: kept when it is written again. */
  readonly about?: Readonly<Record<string, unknown>>;
}

/** A LoraConfig in which all but the targets may be left out. */
export type LoraOptions = Pick<LoraConfig, 'targets'> & Partial<LoraConfig>;

const paths = v.union([v.string(), v.pipe(v.array(v.string()), v.minLength(1))]);
const size = v.pipe(v.number(), v.integer(), v.minValue(1));
const number = v.pipe(v.number(), v.integer(), v.minValue(0));
const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));
const share = v.optional(v.pipe(v.number(), v.minValue(0), v.ltValue(1)));

/** valibot leaves some names of a record out, such as `constructor`. */
function patterns(value: typeof size | typeof positive) {
  return v.optional(
    v.custom<Readonly<Record<string, number>>>(
      (input) => typeof input === 'object' && input !== null && Object.values(input).every((each) => v.is(value, each)),
      'Invalid value: Expected patterns with numbers above 0',
    ),
  );
}

const schema = {
  rank: v.optional(size, 8),
  alpha: v.optional(positive, 8),
  targets: paths,
  exclude: v.optional(paths),
  layers: v.optional(v.union([number, v.array(number)])),
  layersPattern: v.optional(v.union([v.string(), v.array(v.string())])),
  rankPattern: patterns(size),
  alphaPattern: patterns(positive),
  rsLora: v.optional(v.boolean()),
  dora: v.optional(v.boolean()),
  dropout: share,
  rankDropout: share,
  moduleDropout: share,
  init: v.optional(
    v.union([
      v.picklist(['default', 'gaussian', 'pissa', 'olora', 'orthogonal']),
      v.strictObject({ pissaIterations: size }),
    ]),
  ),
  bias: v.optional(v.picklist(['none', 'lora_only', 'all'])),
  loraBias: v.optional(v.boolean()),
  modulesToSave: v.optional(v.array(v.string())),
  about: v.optional(v.custom<Readonly<Record<string, unknown>>>((input) => typeof input === 'object')),
};

/** Checks a configuration and fills in PEFT's defaults. @throws naming the field that is wrong or unknown */
export function loraConfig(options: LoraOptions): LoraConfig {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(schema, name));
  if (unknown !== undefined) {
    const [near] = closest(unknown, Object.keys(schema));
    throw new Error(`lora: a configuration has known fields; got "${unknown}"; closest: ${near}`);
  }
  const { init = 'default' } = options;
  if (options.loraBias && (options.dora || init !== 'default')) {
    const other = options.dora ? 'dora' : `init ${JSON.stringify(init)}`;
    throw new Error(`lora: loraBias goes with the default start and without DoRA; got ${other}; leave one of them out`);
  }
  if (options.layersPattern !== undefined && options.layers === undefined)
    throw new Error(
      'lora: layersPattern says where numbers of blocks stand; got no layers; give them, or leave it out',
    );
  if (options.layers !== undefined && typeof options.targets === 'string')
    throw new Error(
      `lora: layers limit a list of targets; got the text "${options.targets}"; say the numbers in it, or give a list`,
    );
  const result = v.safeParse(v.object(schema), options);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = v.getDotPath(issue) ?? 'targets';
  throw new Error(`lora: ${field}: ${issue.message}; got ${JSON.stringify(issue.input)}; see LoraConfig`);
}

/** The paths that a pattern of ranks or alphas means. @source peft get_pattern_key */
export const pathPattern = (field: string, pattern: string): RegExp => pythonRegExp(field, `(.*\\.)?(${pattern})`);

const compiled = new WeakMap<object, readonly [RegExp, number][]>();

/** The first that fits counts. */
function patternValue(field: string, path: string, pattern: Readonly<Record<string, number>> = {}): number | undefined {
  const all =
    compiled.get(pattern) ??
    Object.entries(pattern).map(([each, value]): [RegExp, number] => [pathPattern(field, each), value]);
  compiled.set(pattern, all);
  return all.find(([expression]) => expression.test(path))?.[1];
}

/** The rank and alpha of one layer. @source peft get_pattern_key */
export function rankAndAlpha(config: LoraConfig, path: string): { rank: number; alpha: number } {
  return {
    rank: patternValue('rankPattern', path, config.rankPattern) ?? config.rank,
    alpha: patternValue('alphaPattern', path, config.alphaPattern) ?? config.alpha,
  };
}
