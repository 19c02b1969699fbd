import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isImageName, readImage } from '@rass/images/node';
import { type AdapterDescription, describeAdapter } from '@rass/lora';
import { openAdapterSource } from '@rass/lora/node';
import { printable } from '@rass/nn';
import type { Stages } from '@rass/pipeline';
import { readStages } from '@rass/pipeline/node';
import { latestCheckpoint } from '@rass/training/node';
import { type CheckpointDescription, describeCheckpoint } from '@rass/weights';
import { openCheckpoint } from '@rass/weights/node';
import { Command } from 'commander';
import { readJsonFile } from '../files.ts';
import { INDEX } from '../model/folder.ts';
import { loraText } from '../model/lora-text.ts';
import { megabytes, table } from '../terminal.ts';

interface WeightsReport {
  readonly kind: 'weights';
  readonly description: CheckpointDescription;
  /** Where the file has one. */
  readonly adapter?: AdapterDescription;
  /** Why an adapter that is there cannot be read. */
  readonly refused?: string;
}
interface ModelReport {
  readonly kind: 'model';
  readonly files: readonly {
    readonly path: string;
    readonly tensors: number;
    readonly parameters: number;
    readonly bytes: number;
  }[];
  readonly stages: Stages;
}
interface RunReport {
  readonly kind: 'run';
  readonly recipe: Readonly<Record<string, unknown>>;
  readonly step: number | undefined;
  readonly broken: number;
  readonly finished: boolean;
  readonly metrics: Readonly<Record<string, number>>;
}
interface ImageReport {
  readonly kind: 'image';
  readonly width: number;
  readonly height: number;
}
/** What the folders of PEFT and diffusers have. */
const ADAPTER = /^(adapter_config\.json|(adapter_model|pytorch_lora_weights)\.(safetensors|bin))$/;

type Report = WeightsReport | ModelReport | RunReport | ImageReport;

async function described(path: string): Promise<CheckpointDescription> {
  const checkpoint = await openCheckpoint(path);
  try {
    return describeCheckpoint(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

/** Weights, and the adapter that they are. */
async function inspectWeights(path: string): Promise<WeightsReport> {
  const { checkpoint, config } = await openAdapterSource(path);
  try {
    const description = describeCheckpoint(checkpoint);
    const found = await describeAdapter(checkpoint, { config }).then(
      (adapter) => adapter && { adapter },
      (error: Error) => ({ refused: error.message }),
    );
    return { kind: 'weights', description, ...found };
  } finally {
    await checkpoint.close();
  }
}

async function inspectModel(folder: string): Promise<ModelReport> {
  const names = await readdir(folder, { recursive: true });
  const weights = names.filter((name) => name.endsWith('.safetensors')).sort();
  const files = [];
  for (const path of weights) {
    const { tensors, parameters, bytes } = await described(join(folder, path));
    files.push({ path, tensors, parameters, bytes });
  }
  return { kind: 'model', files, stages: await readStages(folder) };
}

/** The last value of each metric of a run's log. */
async function lastMetrics(path: string): Promise<Record<string, number>> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const rows = text.split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line) as Record<string, number>];
    } catch {
      // A run that is being written, or was killed, has a last line that is not whole.
      return [];
    }
  });
  return Object.assign({}, ...rows);
}

async function inspectRun(folder: string, there: readonly string[]): Promise<RunReport> {
  const { latest, broken } = await latestCheckpoint(join(folder, 'checkpoints'));
  return {
    kind: 'run',
    recipe: await readJsonFile(join(folder, 'recipe.json')),
    step: latest?.step,
    broken: broken.length,
    finished: there.includes('model'),
    metrics: await lastMetrics(join(folder, 'metrics.jsonl')),
  };
}

async function inspect(path: string): Promise<Report> {
  const entry = await stat(path).catch(() => undefined);
  if (entry === undefined) throw new Error(`${path}: it is a file or a folder; got nothing; check the path`);
  if (!entry.isDirectory()) {
    if (!isImageName(path)) return inspectWeights(path);
    const { width, height } = await readImage(path);
    return { kind: 'image', width, height };
  }
  const there = await readdir(path);
  if (there.includes(INDEX)) return inspectModel(path);
  if (there.includes('recipe.json')) return inspectRun(path, there);
  const shards = there.find((name) => name.endsWith('.index.json'));
  if (shards !== undefined) return inspectWeights(join(path, shards));
  if (there.some((name) => ADAPTER.test(name))) return inspectWeights(path);
  throw new Error(
    `${path}: a folder is a model, a run or an adapter; got neither ${INDEX} nor recipe.json nor adapter_config.json in it; name a file, or see rass dataset stats`,
  );
}

function weightsLines({ description, adapter, refused }: WeightsReport): string[] {
  return [
    `${description}`,
    ...(adapter === undefined ? [] : ['', `${adapter}`]),
    ...(refused === undefined ? [] : ['', `an adapter that cannot be read: ${printable(refused)}`]),
  ];
}

function modelLines({ files, stages: { restoration, segmentation } }: ModelReport): string[] {
  const rows = files.map(({ path, tensors, parameters, bytes }) => [
    path,
    `${tensors}`,
    parameters.toLocaleString('en'),
    megabytes(bytes),
  ]);
  return [
    table([['weights', 'tensors', 'numbers', 'size'], ...rows]),
    restoration === undefined
      ? 'does not restore yet'
      : `restores: LoRA ${loraText(restoration).replace('rank', 'of rank')}, ${restoration.latentUpdate}, timestep ${restoration.timestep}`,
    segmentation === undefined
      ? 'does not segment yet'
      : `segments ${segmentation.classes.length} classes on the ${segmentation.mergesRestoration ? 'restoring' : 'frozen'} model: ${segmentation.classes.map(({ name }) => printable(name)).join(', ')}`,
  ];
}

function runLines({ recipe, step, broken, finished, metrics }: RunReport): string[] {
  const rows = Object.entries(metrics).filter(([name]) => name !== 'step' && name !== 'time');
  return [
    `${printable(`${recipe['kind']} ${recipe['name']}`)}: step ${step ?? 0} of ${recipe['steps']}${finished ? ', trained' : ''}${broken > 0 ? `, ${broken} broken checkpoints` : ''}`,
    ...(rows.length > 0 ? [table([['last', 'value'], ...rows.map(([name, value]) => [name, String(value)])])] : []),
  ];
}

function lines(report: Report): string[] {
  switch (report.kind) {
    case 'weights':
      return weightsLines(report);
    case 'model':
      return modelLines(report);
    case 'run':
      return runLines(report);
    case 'image':
      return [`${report.width} x ${report.height}`];
  }
}

async function run(path: string, { json }: { json?: boolean }): Promise<void> {
  const report = await inspect(path);
  if (json) console.log(JSON.stringify(report, null, 2));
  else for (const line of lines(report)) console.log(line);
}

/** `rass inspect ...` */
export const inspectCommand = (): Command =>
  new Command('inspect')
    .description('what a file of weights, an adapter, a model, a run or an image is')
    .argument('<path>', 'safetensors or PyTorch files, a folder of a model, of a run or of an adapter, an image')
    .option('--json', 'print JSON')
    .action(run);
