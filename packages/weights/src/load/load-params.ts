import { ParamSource, randomParams, shapeParams, type TensorRequest } from '@rass/nn';
import { keep, type Tensor, tensor } from '@tensorflow/tfjs-core';
import { type Checkpoint, closestKeys, readFloat32 } from '../checkpoint.ts';
import { elementCount } from '../dtype/dtype.ts';
import { throwIfAborted, WeightsError } from '../error.ts';
import { toHwio } from './layout.ts';
import { LoadError, type LoadReport, loadReport } from './report.ts';

/** Keys by their whole name or by pattern. */
export type KeyNames = readonly (string | RegExp)[];

/** How far loading has come. */
export interface LoadProgress {
  /** The tensor that was loaded last. */
  readonly key: string;
  readonly loaded: number;
  readonly total: number;
  /** Numbers, of all that are to be loaded. */
  readonly parametersLoaded: number;
  readonly parametersTotal: number;
}

/** How parameters are loaded. What is not allowed by name is an error. */
export interface LoadOptions {
  /** These may be missing: they start as an untrained model's. */
  allowMissing?: KeyNames;
  /** These may be left over. */
  allowUnused?: KeyNames;
  /** These may have another shape: they are left over, and start as an untrained model's. */
  allowWrongShape?: KeyNames;
  /** These may have values that are infinite or not numbers. */
  allowNonFinite?: KeyNames;
  /** What an error tells a program's user to do; default to name in these options what may be so. */
  remedy?: string;
  /** Whether weights stay in memory as they are stored, of float16 or quantized to 4 or 8 bits, where the backend's kernels expand what they read:
   * on WebGPU, those of whole vectors. All others are float32, as all are by default. For inference: packed weights are not trained. */
  packed?: boolean;
  /** For the initial values of what is not loaded; default 0. */
  seed?: number;
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
}

/** A loaded parameter tree and what came of each key. */
export interface Loaded<Tree> {
  readonly params: Tree;
  readonly report: LoadReport;
}

const isNamed = (key: string, names: KeyNames = []): boolean =>
  names.some((name) => (typeof name === 'string' ? name === key : key.search(name) >= 0));

const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((size, axis) => size === b[axis]);

// What may be asked for beside four times what is there: all of a model that starts untrained.
const MOST_ASKED = 20_000;

/** What a model asks for, by key; asking twice for one tensor is one request. */
function collectRequests(checkpoint: Checkpoint, build: (from: ParamSource) => unknown): Map<string, TensorRequest> {
  const requests = new Map<string, TensorRequest>();
  const most = MOST_ASKED + 4 * checkpoint.keys().length;
  build(
    shapeParams((request) => {
      const known = requests.get(request.key);
      if (known !== undefined && !sameShape(known.shape, request.shape)) {
        throw new WeightsError(
          'BadModel',
          `loadParams: a model asks for a key with one shape; got [${known.shape.join(', ')}] and ` +
            `[${request.shape.join(', ')}] for "${request.key}"`,
        );
      }
      requests.set(request.key, request);
      if (requests.size > most) {
        throw new WeightsError(
          'BadModel',
          `loadParams: ${checkpoint.name}: a model asks for about what its checkpoint holds; got ${checkpoint.keys().length} tensors in the checkpoint and over ${most} asked for, ` +
            `such as "${request.key}"; its config.json has a wrong number of layers, or is another model's`,
        );
      }
    }),
  );
  return requests;
}

const lastStep = (key: string): string => key.slice(key.lastIndexOf('.') + 1);

type Comparison = Pick<LoadReport, 'used' | 'missing' | 'unused' | 'wrongShape'>;

// Suggestions cost time in proportion to both numbers of keys; a report of hundreds needs no more of them.
const MAX_SUGGESTED = 50;

function compare(checkpoint: Checkpoint, requests: ReadonlyMap<string, TensorRequest>): Comparison {
  const keys = checkpoint.keys();
  const unused = keys.filter((key) => !requests.has(key));
  const wrongShape = [...requests.values()].flatMap(({ key, checkpointShape }) => {
    if (!checkpoint.has(key)) return [];
    const found = checkpoint.info(key).shape;
    return sameShape(found, checkpointShape) ? [] : [{ key, expected: checkpointShape, found }];
  });
  const wrong = new Set(wrongShape.map(({ key }) => key));
  const absent = [...requests.values()].filter(({ key }) => !checkpoint.has(key));
  const missing = absent.map(({ key, checkpointShape }, index) => {
    // Another name for the same tensor has its shape, or at least ends alike.
    const alike = (other: string) =>
      sameShape(checkpoint.info(other).shape, checkpointShape) || lastStep(other) === lastStep(key);
    const closest = index < MAX_SUGGESTED ? closestKeys(key, unused.filter(alike), 2) : [];
    return { key, shape: checkpointShape, closest };
  });
  return { used: keys.filter((key) => requests.has(key) && !wrong.has(key)), missing, unused, wrongShape };
}

function refuseMismatch(report: LoadReport, options: LoadOptions): void {
  const missing = report.missing.filter(({ key }) => !isNamed(key, options.allowMissing));
  const wrongShape = report.wrongShape.filter(({ key }) => !isNamed(key, options.allowWrongShape));
  const unused = report.unused.filter((key) => !isNamed(key, options.allowUnused));
  const nonFinite = report.nonFinite.filter(({ key }) => !isNamed(key, options.allowNonFinite));
  const counts = [
    [missing.length, 'missing', 'allowMissing'],
    [wrongShape.length, 'of wrong shape', 'allowWrongShape'],
    [unused.length, 'unused', 'allowUnused'],
    [nonFinite.length, 'not finite', 'allowNonFinite'],
  ] as const;
  const found = counts.filter(([count]) => count > 0);
  if (found.length === 0) return;
  const got = found.map(([count, what]) => `${count} ${what}`).join(', ');
  const { remedy = `name what may be so in ${found.map(([, , option]) => option).join(', ')}` } = options;
  const parts = { ...report, missing, wrongShape, unused, nonFinite };
  throw new LoadError(`loadParams: a checkpoint and a model fit; got ${got}; ${remedy}\n${loadReport(parts)}`, report);
}

function countNonFinite(values: Float32Array): number {
  let count = 0;
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) count++;
  return count;
}

/** A tensor that is loaded, and how many of its values are not finite. */
interface LoadedTensor {
  readonly tensor: Tensor;
  readonly nonFinite: number;
}

async function readTensor(checkpoint: Checkpoint, request: TensorRequest, signal?: AbortSignal): Promise<LoadedTensor> {
  const values = await readFloat32(checkpoint, request.key, { signal });
  const laidOut = request.layout === 'conv2d' ? toHwio(values, request.checkpointShape) : values;
  return { tensor: tensor(laidOut, [...request.shape], 'float32'), nonFinite: countNonFinite(values) };
}

/** Reads tensors one at a time, in the order of the file. */
async function readTensors(
  checkpoint: Checkpoint,
  requests: ReadonlyMap<string, TensorRequest>,
  used: readonly string[],
  tensors: Map<string, Tensor>,
  { signal, onProgress, packed = false }: LoadOptions,
): Promise<LoadReport['nonFinite']> {
  const readPacked = packed ? (await import('./packed.ts')).readPacked : undefined;
  const nonFinite: { key: string; count: number }[] = [];
  const sizes = used.map((key) => elementCount(requests.get(key)!.shape));
  const parametersTotal = sizes.reduce((sum, size) => sum + size, 0);
  let parametersLoaded = 0;
  for (const [index, key] of used.entries()) {
    throwIfAborted(signal);
    const request = requests.get(key)!;
    const read = (await readPacked?.(checkpoint, request, signal)) ?? (await readTensor(checkpoint, request, signal));
    tensors.set(key, keep(read.tensor));
    if (read.nonFinite > 0) nonFinite.push({ key, count: read.nonFinite });
    parametersLoaded += sizes[index];
    onProgress?.({ key, loaded: index + 1, total: used.length, parametersLoaded, parametersTotal });
  }
  return nonFinite;
}

/** Loads a model's parameters. `build` is run twice: over shapes, to learn what it asks for, and over the loaded tensors.
 * Tensors are read one at a time, made float32 unless they are to stay packed, convolutions laid out [Kh, Kw, I, O], and kept: disposeParams frees them.
 * @throws LoadError, with a report, when keys are missing, unused, of another shape or not finite and not allowed by name */
export async function loadParams<Tree>(
  checkpoint: Checkpoint,
  build: (from: ParamSource) => Tree,
  options: LoadOptions = {},
): Promise<Loaded<Tree>> {
  const requests = collectRequests(checkpoint, build);
  const comparison = compare(checkpoint, requests);
  const parameters = comparison.used.reduce((sum, key) => sum + elementCount(requests.get(key)!.shape), 0);
  const parts = { checkpoint: checkpoint.name, ...comparison, parameters };
  // Before anything is read: a wrong file is known at once, not after gigabytes.
  refuseMismatch(loadReport({ ...parts, nonFinite: [] }), options);
  const tensors = new Map<string, Tensor>();
  try {
    const nonFinite = await readTensors(checkpoint, requests, comparison.used, tensors, options);
    const report = loadReport({ ...parts, nonFinite });
    refuseMismatch(report, options);
    const initial = randomParams(options.seed ?? 0);
    for (const { key } of [...comparison.missing, ...comparison.wrongShape]) {
      const { shape, init } = requests.get(key)!;
      tensors.set(key, initial.at(key).parameter(shape, init).value);
    }
    return { params: build(new ParamSource(({ key }) => tensors.get(key)!)), report };
  } catch (error) {
    for (const each of tensors.values()) each.dispose();
    throw error;
  }
}
