// pnpm bench [row ...] [--rounds n] [--threads n]: times our side against PyTorch's, in one interleaved run.
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { BackendName } from '@rass/kernels';
import { pythonExecutable } from '@rass/testkit/python';
import { Contestant } from './contestant.ts';
import { duel, soloRuns } from './duel.ts';
import { type ModelRow, modelList, packedList, trainingList, webgpuList } from './model-list.ts';
import { browserTable } from './rows/browser.ts';
import { degradationLines } from './rows/degradation.ts';
import { fullSizeTable } from './rows/full-size.ts';
import { memoryRun, memoryTable } from './rows/memory.ts';
import { mergeDuel, mergekitVersion } from './rows/merge.ts';
import { deformableRows, type OpRow, opRows, opTitle, webgpuRows } from './rows/op-list.ts';
import { type Line, type TableOptions, table, writeBetweenMarks } from './table.ts';

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

interface Settings {
  rounds: number | undefined;
  threads: number;
  python: string;
  /** Ours; `native` where not said. */
  backend?: BackendName;
}

function contestants({ threads, python, backend = 'native' }: Settings): { ours: Contestant; theirs: Contestant } {
  const count = `${threads}`;
  return {
    ours: new Contestant('ours', process.execPath, [file('./ours.ts')], {
      TF_NUM_INTRAOP_THREADS: count,
      RASS_BENCH_BACKEND: backend,
    }),
    theirs: new Contestant('PyTorch', python, [file('../python/theirs.py')], { OMP_NUM_THREADS: count }),
  };
}

let versions: Record<string, string> = {};

function machine(): string {
  const [{ model }] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${model.trim()}, ${cpus().length} cores, ${memory} GiB, ${process.platform} ${process.arch}`;
}

/** The machine and the versions, in a line; adapters take as many threads as they like. */
function facts({ threads }: Settings): string {
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const onAdapter = ['on', 'both on', 'all on'].some((name) => name in versions);
  return `${machine()}${onAdapter ? '' : `; ${threads} threads each`}. ${named.join(', ')}.`;
}

async function modelLine(row: ModelRow, settings: Settings): Promise<Line> {
  const { ours, theirs } = contestants(settings);
  try {
    versions = { ...(await ours.prepare(row.name)).versions, ...(await theirs.prepare(row.name)).versions };
    const result = await duel(ours, theirs, { rounds: settings.rounds ?? 5, secondsPerTurn: 0.5 });
    return { title: row.title, result };
  } finally {
    await Promise.all([ours.close(), theirs.close()]);
  }
}

async function* modelLines(rows: readonly ModelRow[], settings: Settings): AsyncGenerator<Line> {
  for (const row of rows) yield await modelLine(row, settings);
}

/** One side after the other, each in a process that has the memory to itself. */
async function trainingLine(row: ModelRow, settings: Settings): Promise<Line> {
  const sides = contestants(settings);
  const rounds = settings.rounds ?? 3;
  const measure = async (side: Contestant) => {
    try {
      versions = { ...versions, ...(await side.prepare(row.name)).versions };
      return await soloRuns(side, rounds);
    } finally {
      await side.close();
    }
  };
  const theirs = await measure(sides.theirs);
  const ours = await measure(sides.ours);
  const ratio = ours.seconds / theirs.seconds;
  const result = {
    ourSeconds: ours.seconds,
    theirSeconds: theirs.seconds,
    ratio,
    ourPeakBytes: ours.peakBytes,
    theirPeakBytes: theirs.peakBytes,
  };
  return { title: row.title, result };
}

async function* trainingLines(rows: readonly ModelRow[], settings: Settings): AsyncGenerator<Line> {
  for (const row of rows) yield await trainingLine(row, settings);
}

async function* opLines(rows: readonly OpRow[], settings: Settings): AsyncGenerator<Line> {
  const { ours, theirs } = contestants(settings);
  try {
    const on = settings.backend === undefined ? '' : ` on ${settings.backend}`;
    for (const row of rows) {
      const { ours: backend, ...found } = (await ours.prepare(row)).versions;
      versions = { ...versions, [`ours${on}`]: backend, ...found, ...(await theirs.prepare(row)).versions };
      const result = await duel(ours, theirs, { rounds: settings.rounds ?? 9, secondsPerTurn: 0.05 });
      yield { title: `${opTitle(row)}${on}`, result };
    }
  } finally {
    await Promise.all([ours.close(), theirs.close()]);
  }
}

/** The same rows on each backend: there is one PyTorch to compare all of them with. */
async function* deformableLines(settings: Settings): AsyncGenerator<Line> {
  for (const backend of ['native', 'wasm', 'webgpu'] as const) yield* opLines(deformableRows, { ...settings, backend });
}

const onWebgpu = (name: string, fused = true): Contestant =>
  new Contestant(name, process.execPath, [file('./ours.ts')], {
    RASS_BENCH_BACKEND: 'webgpu',
    RASS_BENCH_FUSED: String(fused),
  });

/** Both sides are ours on the same adapter, with our shaders and with TensorFlow.js's. */
async function* webgpuLines(settings: Settings): AsyncGenerator<Line> {
  const rows = [
    ...webgpuRows.map((row) => ({ row, title: opTitle(row), rounds: 5 })),
    ...webgpuList.map(({ name, title }) => ({ row: name, title, rounds: 3 })),
  ];
  for (const { row, title, rounds } of rows) {
    const [ours, theirs] = [onWebgpu('ours'), onWebgpu('TensorFlow.js', false)];
    try {
      const { ours: adapter, node } = (await ours.prepare(row)).versions;
      await theirs.prepare(row);
      versions = { 'both on': adapter, node };
      yield { title, result: await duel(ours, theirs, { rounds: settings.rounds ?? rounds, secondsPerTurn: 0.05 }) };
    } finally {
      await Promise.all([ours.close(), theirs.close()]);
    }
  }
}

/** Packed weights, and the same model with weights of float32. */
async function* packedLines(settings: Settings): AsyncGenerator<Line> {
  for (const { name, title } of packedList) {
    const [packed, plain] = [onWebgpu('packed'), onWebgpu('float32')];
    try {
      const { ours: adapter, node } = (await packed.prepare(name)).versions;
      await plain.prepare('unet-16');
      versions = { 'both on': adapter, node };
      const result = await duel(packed, plain, { rounds: settings.rounds ?? 3, secondsPerTurn: 0.05 });
      const [ours, theirs] = [await packed.run(0), await plain.run(0)].map(({ deviceBytes = 0 }) => deviceBytes);
      yield { title, result: { ...result, ourPeakBytes: ours!, theirPeakBytes: theirs! } };
    } finally {
      await Promise.all([packed.close(), plain.close()]);
    }
  }
}

async function* mergeLines({ rounds = 3 }: Settings): AsyncGenerator<Line> {
  versions = { node: process.version, mergekit: mergekitVersion() };
  yield { title: 'Linear merge of two UNets, 3.46 GB each', result: await mergeDuel(rounds, console.log) };
}

/** Of a run of other lengths than the README's, nothing is written. */
async function reportMemory(settings: Settings): Promise<void> {
  const { rounds = 300 } = settings;
  const run = await memoryRun(rounds, (sample) => console.log(JSON.stringify(sample)));
  const of = `${rounds} images of 7 sizes in ${run.seconds.toFixed(0)} s. ${machine()}; ${run.device}, node ${process.version}.`;
  const text = `${memoryTable(run)}\n\n${of}`;
  console.log(`\n${text}`);
  if (settings.rounds === undefined) writeBetweenMarks('memory', text);
}

async function report(
  name: string,
  unit: 'ms' | 's',
  source: AsyncIterable<Line>,
  settings: Settings,
  write: boolean,
  { theirs = 'PyTorch', memory }: Partial<Pick<TableOptions, 'theirs' | 'memory'>> = {},
): Promise<void> {
  const columns = { unit, theirs, ...(memory && { memory }) };
  // biome-ignore format: one line
  const lines: Line[] = [];
  for await (const line of source) {
    lines.push(line);
    console.log(table([line], columns).split('\n')[2]);
  }
  const text = `${table(lines, columns)}\n\n${facts(settings)}`;
  console.log(`\n${text}`);
  if (write) writeBetweenMarks(name, text);
}

/** What is compared with no program of Python. */
const WITHOUT_PYTHON = ['merge', 'webgpu', 'memory', 'packed', 'full-size'];

/** What the command line asks for. @throws when it is none of the rows, or there is no Python to compare with */
function asked(): { positionals: string[]; settings: Settings } {
  const options = { rounds: { type: 'string' }, threads: { type: 'string' } } as const;
  const { positionals, values } = parseArgs({ allowPositionals: true, options });
  const names = [
    'ops',
    'deformable',
    'webgpu',
    'browser',
    'packed',
    'full-size',
    'merge',
    'steps',
    'degradation',
    'memory',
    ...[...modelList, ...trainingList].map(({ name }) => name),
  ];
  const unknown = positionals.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`bench: the rows are ${names.join(', ')}; got "${unknown}"`);
  const python = pythonExecutable();
  const withoutPython = positionals.length > 0 && positionals.every((name) => WITHOUT_PYTHON.includes(name));
  if (python === undefined && !withoutPython) {
    throw new Error(
      'bench: it compares with PyTorch; no Python is set up; set RASS_PYTHON to one that has ' +
        'test-fixtures/make/requirements.txt, or run `pnpm golden` once',
    );
  }
  const settings: Settings = { rounds: values.rounds === undefined ? undefined : Number(values.rounds), threads: Number(values.threads ?? 2), python: python ?? '' }; // biome-ignore format: one line
  return { positionals, settings };
}

async function main(): Promise<void> {
  const { positionals, settings } = asked();
  if (positionals.includes('ops')) await report('ops', 'ms', opLines(opRows, settings), settings, true);
  if (positionals.includes('deformable')) await report('deformable', 'ms', deformableLines(settings), settings, true);
  if (positionals.includes('webgpu')) {
    await report('webgpu', 'ms', webgpuLines(settings), settings, true, { theirs: 'TensorFlow.js' });
  }
  if (positionals.includes('packed')) {
    await report('packed', 's', packedLines(settings), settings, true, { theirs: 'float32', memory: 'in GPU' });
  }
  if (positionals.includes('browser')) {
    const { table: text, facts: computed } = await browserTable(settings.python, settings.rounds ?? 3);
    versions = { 'all on': computed };
    writeBetweenMarks('browser', `${text}\n\n${facts(settings)}`);
    console.log(text);
  }
  if (positionals.includes('full-size')) {
    const { table: text, facts: computed } = await fullSizeTable();
    versions = { on: computed, node: process.version };
    writeBetweenMarks('full-size', `${text}\n\n${facts(settings)}`);
    console.log(text);
  }
  if (positionals.includes('merge'))
    await report('merge', 's', mergeLines(settings), settings, true, { theirs: 'mergekit' });
  if (positionals.includes('memory')) await reportMemory(settings);
  if (positionals.includes('degradation')) {
    const programs = {
      ours: file('./degradation-ours.ts'),
      theirs: file('../python/theirs.py'),
      python: settings.python,
    };
    const lines = degradationLines(programs, settings.rounds ?? 9, (found) => {
      versions = found;
    });
    await report('degradation', 'ms', lines, settings, true);
  }
  const steps = trainingList.filter(({ name }) => positionals.includes('steps') || positionals.includes(name));
  if (steps.length > 0) {
    await report('steps', 's', trainingLines(steps, settings), settings, positionals.includes('steps'));
  }
  const chosen = modelList.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  // A part of the rows is for looking; the table in the README is of one run.
  if (chosen.length > 0) await report('models', 's', modelLines(chosen, settings), settings, positionals.length === 0);
}

await main();
