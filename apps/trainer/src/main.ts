#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { Command } from 'commander';
import { backendCommand } from './commands/backend.ts';
import { datasetCommand } from './commands/dataset.ts';
import { degradeCommand } from './commands/degrade.ts';
import { demoCommand } from './commands/demo.ts';
import { evalCommand } from './commands/eval.ts';
import { exportCommand } from './commands/export.ts';
import { importCommand } from './commands/import.ts';
import { inspectCommand } from './commands/inspect.ts';
import { mergeCommand } from './commands/merge.ts';
import { restoreCommand } from './commands/restore.ts';
import { segmentCommand } from './commands/segment.ts';
import { pretrainCommand, trainCommand } from './commands/train.ts';
import { weightsCommand } from './commands/weights.ts';
import { guardStream } from './printed.ts';
import { printError } from './terminal.ts';

// Without a desktop session the Vulkan loader complains about this at every start.
process.env['XDG_RUNTIME_DIR'] ??= tmpdir();

// A reader that has seen enough, such as head, is no error, and ends no training.
for (const stream of [process.stdout, process.stderr]) {
  guardStream(stream);
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const program = new Command('rass')
  .description('Semantic segmentation of low-quality photographs: backends, weights, training, inference')
  .version(version)
  .showHelpAfterError('(run the command with --help for its options)')
  .addCommand(backendCommand())
  .addCommand(datasetCommand())
  .addCommand(degradeCommand())
  .addCommand(demoCommand())
  .addCommand(evalCommand())
  .addCommand(exportCommand())
  .addCommand(importCommand())
  .addCommand(inspectCommand())
  .addCommand(mergeCommand())
  .addCommand(pretrainCommand())
  .addCommand(restoreCommand())
  .addCommand(segmentCommand())
  .addCommand(trainCommand())
  .addCommand(weightsCommand());

try {
  await program.parseAsync();
} catch (error) {
  printError(error);
  process.exitCode = 1;
}
