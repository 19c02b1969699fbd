import { conv2d, groupNorm } from '@rass/kernels';
import {
  dispose,
  grads,
  matMul,
  mean,
  relu,
  slice,
  softmax,
  type Tensor,
  type Tensor1D,
  type Tensor4D,
  tensor,
  tidy,
  util,
} from '@tensorflow/tfjs-core';
import { seededValues } from './random.ts';

/** A measured job, or why it could not be run. */
export interface SpeedResult {
  name: string;
  milliseconds?: number;
  failure?: string;
  /** Absent for jobs that move more than they compute. */
  gigaflops?: number;
}

interface Job {
  name: string;
  /** Shapes at full size and at a size that the slowest backend does in a second. */
  shapes: (small: boolean) => number[][];
  operations: (shapes: number[][]) => number;
  run: (inputs: Tensor[]) => Tensor;
}

/** No further repeat is started after this. */
const BUDGET_MS = 3_000;
/** A job that would take longer is measured at its small size. Small sizes overstate what a full one takes. */
const LONGEST_EXPECTED_MS = 12_000;
const REPEATS = 5;

const convOperations = ([x, w]: number[][]) => 2 * x![1]! * x![2]! * util.sizeFromShape(w!);
const convShapes = (small: boolean) =>
  small
    ? [
        [1, 16, 16, 32],
        [3, 3, 32, 32],
      ]
    : [
        [1, 64, 64, 320],
        [3, 3, 320, 320],
      ];

const JOBS: readonly Job[] = [
  {
    name: 'matMul',
    shapes: (small) =>
      small
        ? [
            [128, 128],
            [128, 128],
          ]
        : [
            [1024, 1024],
            [1024, 1024],
          ],
    operations: ([a, b]) => 2 * a![0]! * a![1]! * b![1]!,
    run: ([a, b]) => matMul(a!, b!),
  },
  {
    name: 'conv2d 3x3',
    shapes: convShapes,
    operations: convOperations,
    run: ([x, w]) => conv2d(x as Tensor4D, w as Tensor4D, { padding: 1 }),
  },
  {
    name: 'conv2d 3x3 with gradients',
    shapes: convShapes,
    operations: (shapes) => 3 * convOperations(shapes),
    run: ([x, w]) => {
      const loss = (image: Tensor, filter: Tensor) =>
        mean(relu(conv2d(image as Tensor4D, filter as Tensor4D, { padding: 1 })));
      return grads(loss)([x!, w!])[1]!;
    },
  },
  {
    name: 'group norm',
    shapes: (small) => [[1, small ? 16 : 64, small ? 16 : 64, 320], [320], [320]],
    operations: () => 0,
    run: ([x, w, b]) => groupNorm(x as Tensor4D, w as Tensor1D, b as Tensor1D, { groups: 32 }),
  },
  {
    name: 'softmax',
    shapes: (small) => [small ? [128, 128] : [4096, 1024]],
    operations: () => 0,
    run: ([x]) => softmax(x!),
  },
];

/** Waits for the result without moving all of it: a GPU answers a read after everything before it. */
async function timeOnce(run: (inputs: Tensor[]) => Tensor, inputs: Tensor[]): Promise<number> {
  const start = performance.now();
  const first = tidy(() => {
    const y = run(inputs);
    return slice(y, Array(y.rank).fill(0), Array(y.rank).fill(1));
  });
  await first.data();
  const elapsed = performance.now() - start;
  first.dispose();
  return elapsed;
}

async function measure(job: Job, small: boolean): Promise<SpeedResult & { milliseconds: number }> {
  const shapes = job.shapes(small);
  const inputs = shapes.map((shape, i) => tensor(seededValues(util.sizeFromShape(shape), i + 1), shape));
  await timeOnce(job.run, inputs);
  const times: number[] = [];
  for (let i = 0; i < REPEATS && times.reduce((a, b) => a + b, 0) < BUDGET_MS; i++) {
    times.push(await timeOnce(job.run, inputs));
  }
  dispose(inputs);
  const milliseconds = times.sort((a, b) => a - b)[Math.floor(times.length / 2)]!;
  const operations = job.operations(shapes);
  const name = `${job.name} ${shapes.map((shape) => shape.join('x')).join(' by ')}`;
  const speed = operations > 0 ? { gigaflops: operations / milliseconds / 1e6 } : {};
  return { name, milliseconds, ...speed };
}

/** Work of a job, for guessing how long the full size takes from the small one. */
function work(job: Job, small: boolean): number {
  const shapes = job.shapes(small);
  return job.operations(shapes) || util.sizeFromShape(shapes[0]!);
}

/** Measures the current backend: the median of up to five runs after a first one. Slow backends get small sizes. */
export async function measureSpeed(onJob: (result: SpeedResult) => void): Promise<void> {
  for (const job of JOBS) {
    try {
      const small = await measure(job, true);
      const expected = (small.milliseconds * work(job, false)) / work(job, true);
      onJob(expected > LONGEST_EXPECTED_MS ? small : await measure(job, false));
    } catch (error) {
      onJob({ name: job.name, failure: error instanceof Error ? error.message : String(error) });
    }
  }
}
