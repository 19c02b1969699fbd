import { selectBackend } from '@rass/kernels';
import { groupedVariables } from '@rass/training';
import { dispose, type Tensor } from '@tensorflow/tfjs-core';
import { startTask } from '../../tasks/start.ts';
import type { TrainingTask } from '../task.ts';
import { type HelperJob, type HelperReply, type HelperStart, type PartResult, packed, unpacked } from './messages.ts';

// A process that runs batches of a task, with the weights that come with them; see openHelpers.
const answer = (reply: HelperReply): boolean | undefined => process.send?.(reply);
// The first process hears the signals, and ends this one.
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => {});
process.on('disconnect', () => process.exit());

let task: TrainingTask | undefined;

async function start({ recipe, classes, backend }: HelperStart): Promise<HelperReply> {
  await selectBackend(backend as Parameters<typeof selectBackend>[0]);
  task = await startTask(recipe, classes);
  return { kind: 'ready' };
}

async function run({ step, batches, facts, weights }: HelperJob): Promise<HelperReply> {
  const variables = groupedVariables(task!.groups);
  const given = unpacked(weights, variables);
  for (const [key, variable] of Object.entries(variables)) variable.assign(given[key]!);
  dispose(given);
  const results: PartResult[] = [];
  for (const { part, samples } of batches) {
    const { terms, gradients } = await task!.run(samples, { step, part }, facts);
    results.push({ part, terms, gradients: await packed(gradients, variables) });
    dispose(gradients as Record<string, Tensor>);
  }
  return { kind: 'done', results };
}

process.on('message', async (message: HelperStart | HelperJob) => {
  try {
    answer(message.kind === 'start' ? await start(message) : await run(message));
  } catch (error) {
    answer({ kind: 'error', message: error instanceof Error ? error.message : String(error) });
  }
});
