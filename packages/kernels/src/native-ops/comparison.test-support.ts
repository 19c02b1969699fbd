// Runs the addon's operations and the composed ones on the same inputs. As a program (node comparison.test-support.ts) it
// prints the differences as JSON: which instruction set and how many threads are used is settled once per process.
import { pathToFileURL } from 'node:url';
import { backend } from '@tensorflow/tfjs-core';
import { selectBackend } from '../backends/select.ts';
import { cases, compare } from '../ops/comparison.test-support.ts';
import { type NativeOperations, registerNativeOperations, unregisterNativeOperations } from './register.ts';

/** Whether the addon's own operations compute. */
export function setFused(isFused: boolean): void {
  if (isFused) registerNativeOperations((backend() as unknown as { binding: NativeOperations }).binding, 'cpu');
  else unregisterNativeOperations();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await selectBackend('native');
  const result: Record<string, number[]> = {};
  for (const one of cases) result[one.name] = await compare(one, setFused);
  console.log(JSON.stringify(result));
}
