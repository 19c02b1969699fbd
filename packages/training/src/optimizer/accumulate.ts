import { add, dispose, keep, mul, scalar, type Tensor, tidy } from '@tensorflow/tfjs-core';

/** Sums the gradients of microbatches, so that a batch may be larger than what memory holds. */
export interface GradientSum {
  /** Adds gradients times a weight: a microbatch's share of the batch, where the loss is a mean. They stay the
   * caller's.
   * @throws on other keys than before */
  add(gradients: Readonly<Record<string, Tensor>>, weight: number): void;
  /** The sum, from now on the caller's; the next one starts empty. @throws when nothing was added */
  take(): Record<string, Tensor>;
  /** Frees what was not taken. */
  dispose(): void;
}

/** An empty sum of gradients. The weighted sum over a batch's parts is the gradient of the whole batch. */
export function gradientSum(): GradientSum {
  let sums: Record<string, Tensor> = {};
  return {
    add(gradients, weight) {
      const keys = Object.keys(gradients);
      const isFirst = Object.keys(sums).length === 0;
      const other = isFirst
        ? undefined
        : [...keys, ...Object.keys(sums)].find((key) => !(key in sums && key in gradients));
      if (other !== undefined || keys.length === 0) {
        const got = other === undefined ? 'none' : `"${other}" in some`;
        throw new Error(
          `gradientSum: all parts have gradients of the same keys; got ${got}; take them by the same variables`,
        );
      }
      if (!Number.isFinite(weight)) {
        throw new Error(`gradientSum: a weight is a number; got ${weight}; give the part's share of the batch`);
      }
      tidy(() => {
        const share = scalar(weight);
        for (const key of keys) {
          const before = sums[key];
          const part = tidy(() => mul(gradients[key], share));
          sums[key] = keep(before === undefined ? part : add(before, part));
          if (before !== undefined) dispose([before, part]);
        }
      });
    },
    take() {
      const taken = sums;
      if (Object.keys(taken).length === 0) {
        throw new Error('gradientSum: what is taken was added; got nothing; add the gradients of a part first');
      }
      sums = {};
      return taken;
    },
    dispose() {
      dispose(sums);
      sums = {};
    },
  };
}
