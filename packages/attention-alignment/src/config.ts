import { closest } from '@rass/nn';
import * as v from 'valibot';
import type { Normalization, Place } from './maps.ts';
import type { MaskResize } from './masks.ts';

/** Kinds of alignment loss. `area+ce` is the default of this project: the paper's own formula is not public. */
export const ALIGNMENT_KINDS = ['area+ce', 'area', 'token+pixel', 'bce', 'mse_max', 'balanced_l1', 'dice'] as const;
export type AlignmentKind = (typeof ALIGNMENT_KINDS)[number];

export interface AlignmentConfig {
  readonly kind: AlignmentKind;
  /** Multiplies the whole; default by kind. */
  readonly weight: number;
  /** Of the area (or token) term and of the pixel term, where a kind has both; default by kind. */
  readonly areaWeight: number;
  readonly pixelWeight: number;
  /** The maps that pixels are compared on; default by kind. */
  readonly norm: Normalization;
  readonly subtoken: 'sum' | 'mean';
  readonly maskResize: MaskResize;
  /** These heads alone, by their numbers from 0; all layers that count must have them. */
  readonly onlyHeads?: readonly number[];
  /** Each head and layer by itself, instead of their mean. */
  readonly perHead: boolean;
  /** Attentions by place: default the way up. */
  readonly places: readonly Place[];
  /** Attentions by the start of their path. */
  readonly blocks?: readonly string[];
  /** Sizes of maps: 0 for the latents', 1 for half of it. Default all that are given. */
  readonly levels?: readonly number[];
  readonly minCells: number;
  readonly ignore: number;
  /** Take off the entropy of soft masks, so that the least cross-entropy is 0 at class borders too. */
  readonly minusEntropy: boolean;
}

export type AlignmentOptions = Partial<AlignmentConfig>;

type Defaults = Pick<AlignmentConfig, 'weight' | 'areaWeight' | 'pixelWeight' | 'norm' | 'maskResize'>;

const DEFAULTS: Readonly<Record<AlignmentKind, Defaults>> = {
  'area+ce': { weight: 1, areaWeight: 1, pixelWeight: 0.1, norm: 'tags', maskResize: 'area' },
  area: { weight: 1, areaWeight: 1, pixelWeight: 0, norm: 'tags', maskResize: 'area' },
  'token+pixel': { weight: 1, areaWeight: 1e-3, pixelWeight: 5e-5, norm: 'none', maskResize: 'any' },
  bce: { weight: 0.1, areaWeight: 0, pixelWeight: 1, norm: 'tags', maskResize: 'area' },
  mse_max: { weight: 1e-2, areaWeight: 0, pixelWeight: 1, norm: 'max', maskResize: 'nearest' },
  balanced_l1: { weight: 1e-3, areaWeight: 0, pixelWeight: 1, norm: 'none', maskResize: 'area' },
  dice: { weight: 0.1, areaWeight: 0, pixelWeight: 1, norm: 'tags', maskResize: 'area' },
};

const number = v.optional(v.pipe(v.number(), v.finite(), v.minValue(0)));

const schema = {
  kind: v.optional(v.picklist(ALIGNMENT_KINDS), 'area+ce'),
  weight: number,
  areaWeight: number,
  pixelWeight: number,
  norm: v.optional(v.picklist(['tags', 'max', 'none', 'softmax100'])),
  subtoken: v.optional(v.picklist(['sum', 'mean']), 'sum'),
  maskResize: v.optional(v.picklist(['area', 'nearest', 'any'])),
  onlyHeads: v.optional(v.array(v.pipe(v.number(), v.integer(), v.minValue(0)))),
  perHead: v.optional(v.boolean(), false),
  places: v.optional(v.array(v.picklist(['down', 'mid', 'up'])), ['up']),
  blocks: v.optional(v.array(v.string())),
  levels: v.optional(v.array(v.pipe(v.number(), v.integer(), v.minValue(0)))),
  minCells: v.optional(v.pipe(v.number(), v.minValue(0)), 0.5),
  ignore: v.optional(v.pipe(v.number(), v.integer()), 255),
  minusEntropy: v.optional(v.boolean(), false),
};

const shown = (value: unknown): string => JSON.stringify(value) ?? String(value);

/** Options that a kind has no use for are an error: nothing is left undone in silence. */
function checkUses({ kind = 'area+ce', minusEntropy, perHead }: AlignmentOptions): void {
  if (minusEntropy && ['mse_max', 'balanced_l1', 'dice'].includes(kind)) {
    throw new Error(
      `attention-alignment: minusEntropy goes with a cross-entropy; got kind "${kind}"; leave it out, or choose area+ce or bce`,
    );
  }
  if (perHead && kind === 'token+pixel') {
    throw new Error(
      'attention-alignment: token+pixel says itself where heads are apart; got perHead; leave it out, or choose another kind',
    );
  }
}

/** Checks the options and fills in what the kind stands for. @throws naming the field or kind that is wrong, with the closest */
export function alignmentConfig(options: AlignmentOptions = {}): AlignmentConfig {
  const unknown = Object.keys(options).find((name) => !(name in schema));
  if (unknown !== undefined) {
    throw new Error(
      `attention-alignment: options have known names; got "${unknown}"; closest: ${closest(unknown, Object.keys(schema))[0]}`,
    );
  }
  const { kind = 'area+ce' } = options;
  if (!ALIGNMENT_KINDS.includes(kind)) {
    throw new Error(
      `attention-alignment: kind is one of ${ALIGNMENT_KINDS.join(', ')}; got "${kind}"; closest: ${closest(kind, ALIGNMENT_KINDS)[0]}`,
    );
  }
  const result = v.safeParse(v.object(schema), options);
  if (!result.success) {
    const [issue] = result.issues;
    throw new Error(
      `attention-alignment: ${v.getDotPath(issue)}: ${issue.message}; got ${shown(issue.input)}; see AlignmentConfig`,
    );
  }
  checkUses(options);
  const given = Object.fromEntries(Object.entries(result.output).filter(([, value]) => value !== undefined));
  return { ...DEFAULTS[kind], ...given } as AlignmentConfig;
}

/** The share of its weight that a loss has at a step, growing in a straight line over the first `steps`. */
export function warmUp(step: number, steps: number): number {
  return steps <= 0 ? 1 : Math.min(1, (step + 1) / steps);
}
