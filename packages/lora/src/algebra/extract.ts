import { type Checkpoint, readFloat32 } from '@rass/weights';
import type { AdapterState, HostTensor, LayerUpdate, LoraUpdate } from '../state.ts';
import { matchTargets } from '../targets.ts';
import { transposed } from './delta.ts';
import { configOf } from './layer-config.ts';
import { type LowRankOptions, lowRankUpdate } from './low-rank.ts';
import type { RankRule } from './rank-rule.ts';
import type { ResizedLayer } from './resize.ts';

export interface ExtractOptions extends LowRankOptions {
  /** Which layers, as a LoraConfig names them; default all whose weights are matrices or convolutions. */
  targets?: readonly string[] | string;
  exclude?: readonly string[] | string;
  /** Which of the matrices are embeddings' tables, by the same rules; the others are taken for linear layers. */
  embeddings?: readonly string[] | string;
  /** Differences of which no value is larger are left out; default 0. @source kohya extract_lora_from_models min_diff */
  minDifference?: number;
  /** Keep what has no low rank (norms, biases, tables outside the targets) as tensors trained whole; default false: it is reported. */
  keepRest?: boolean;
  onProgress?: (progress: { path: string; done: number; total: number }) => void;
  signal?: AbortSignal;
}

export interface Extracted {
  readonly state: AdapterState;
  readonly report: readonly ResizedLayer[];
  /** Keys that differ between the two and are not in the adapter. */
  readonly left: readonly string[];
}

const LAYER = /^(.*)\.weight$/;

async function difference(
  base: Checkpoint,
  tuned: Checkpoint,
  key: string,
  signal?: AbortSignal,
): Promise<{ delta: HostTensor; values: HostTensor }> {
  const { shape } = base.info(key);
  const [before, after] = [await readFloat32(base, key, { signal }), await readFloat32(tuned, key, { signal })];
  const data = after.map((value, i) => value - before[i]) as Float32Array<ArrayBuffer>;
  return { delta: { shape, data }, values: { shape, data: after } };
}

const largest = ({ data }: HostTensor): number => data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

function checkAlike(base: Checkpoint, tuned: Checkpoint): string[] {
  const keys = base.keys();
  const wrong =
    keys.find((key) => !tuned.has(key) || tuned.info(key).shape.join() !== base.info(key).shape.join()) ??
    tuned.keys().find((key) => !base.has(key));
  if (wrong === undefined) return keys;
  const shape = (checkpoint: Checkpoint): string =>
    checkpoint.has(wrong) ? `[${checkpoint.info(wrong).shape.join(', ')}]` : 'nothing';
  throw new Error(
    `lora: an adapter is extracted from two checkpoints of one model; got "${wrong}" ${shape(base)} in ${base.name} and ${shape(tuned)} in ${tuned.name}; choose two that belong together`,
  );
}

/** The layers whose difference is decomposed, and their kinds by path. */
function chosenKinds(
  base: Checkpoint,
  keys: readonly string[],
  { targets, exclude, embeddings }: ExtractOptions,
): Map<string, string> {
  const matrices = keys.flatMap((key) => {
    const path = LAYER.exec(key)?.[1];
    const rank = base.info(key).shape.length;
    return path !== undefined && (rank === 2 || rank === 4) ? [{ path, kind: rank === 2 ? 'linear' : 'conv2d' }] : [];
  });
  const tables = new Set(
    embeddings === undefined ? [] : matchTargets(matrices, { targets: embeddings }).map(({ path }) => path),
  );
  const layers = matrices.map(({ path, kind }) => ({ path, kind: tables.has(path) ? 'embedding' : kind }));
  const chosen =
    targets === undefined && exclude === undefined
      ? layers
      : matchTargets(layers, { targets: targets ?? '.*', exclude });
  return new Map(chosen.map(({ path, kind }) => [path, kind]));
}

/** The factors the other way round: an embedding's table is their product transposed. */
function ofEmbedding({ down, up, ...rest }: LoraUpdate): LoraUpdate {
  return { ...rest, down: transposed(up), up: transposed(down), embedding: true };
}

/** The adapter that, laid over `base`, comes as close to `tuned` as its ranks allow. One tensor of each is in memory at a time.
 * @throws when the two are not of one model, or do not differ @source peft conversion; kohya extract_lora_from_models */
export async function extractAdapter(
  { base, tuned }: { readonly base: Checkpoint; readonly tuned: Checkpoint },
  rule: RankRule,
  options: ExtractOptions = {},
): Promise<Extracted> {
  const { minDifference = 0, keepRest = false, onProgress, signal } = options;
  const keys = checkAlike(base, tuned);
  const kinds = chosenKinds(base, keys, options);
  const layers = new Map<string, LayerUpdate>();
  const whole = new Map<string, HostTensor>();
  const [report, left]: [ResizedLayer[], string[]] = [[], []];
  for (const [done, key] of keys.entries()) {
    signal?.throwIfAborted();
    const { delta, values } = await difference(base, tuned, key, signal);
    const path = LAYER.exec(key)?.[1];
    if (largest(delta) > minDifference) {
      if (path !== undefined && kinds.has(path)) {
        const { update, kept } = lowRankUpdate(delta, rule, options);
        layers.set(path, kinds.get(path) === 'embedding' ? ofEmbedding(update) : update);
        report.push({
          path,
          before: Math.min(delta.shape[0], delta.data.length / delta.shape[0]),
          after: update.down.shape[0],
          kept,
        });
      } else if (keepRest) whole.set(key, values);
      else left.push(key);
    }
    onProgress?.({ path: key, done: done + 1, total: keys.length });
  }
  if (layers.size === 0 && whole.size === 0) {
    throw new Error(
      `lora: two checkpoints differ where an adapter is extracted; got no difference over ${minDifference} in ${kinds.size} layers; look at minDifference, or choose others`,
    );
  }
  const state = { rsLora: false, layers, whole };
  return { state: { ...state, config: configOf(state) }, report, left };
}
