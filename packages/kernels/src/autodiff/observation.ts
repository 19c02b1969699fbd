import type { Tensor } from '@tensorflow/tfjs-core';
import type { AutodiffEngine } from './engine.ts';

type Observer = (inputs: Tensor[]) => void;

const observers: Observer[] = [];

/** Replaces the engine's running of a kernel: whoever observes is told of its inputs, recorded or not. */
export function observeKernels(engine: AutodiffEngine, stock: AutodiffEngine['runKernelFunc']): typeof stock {
  return (call) => {
    if (observers.length > 0) {
      const inputs = Object.values(call.inputs ?? {}).filter((x) => x != null);
      for (const observer of observers) observer(inputs);
    }
    return stock.call(engine, call);
  };
}

/** Runs `run` and shows `observer` the inputs of every kernel that it calls. */
export function observing<T>(observer: Observer, run: () => T): T {
  observers.push(observer);
  try {
    return run();
  } finally {
    observers.splice(observers.lastIndexOf(observer), 1);
  }
}
