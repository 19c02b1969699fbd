import { checkpoint } from '@rass/kernels';
import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tidy } from '@tensorflow/tfjs-core';

/** What every part of one forward pass shares. */
export interface Pass {
  /** The sum of all embeddings, activated. [B, W] */
  readonly time: Tensor2D;
  /** [B, T, D] */
  readonly text: Tensor3D;
  /** Added to the scores of attention to the text. [B, 1, 1, T] */
  readonly textBias?: Tensor4D;
  /** Names of taps and of attentions whose probabilities are asked for. */
  readonly wanted: ReadonlySet<string>;
  readonly checkpointing: boolean;
}

/** What a part hands on, and what was asked for on the way, by name. */
export type Seen<T extends Tensor = Tensor> = {
  readonly x: T;
  readonly seen: Readonly<Record<string, Tensor>>;
};

/** The tap of this name, where it is asked for: a tensor of its own, which may be disposed of alone. */
export function tap(pass: Pass, name: string, x: Tensor): Record<string, Tensor> {
  return pass.wanted.has(name) ? { [name]: x.clone() } : {};
}

/** Runs a part of the model on `inputs`, which are all tensors that the forward pass made and the part reads, and frees
 * what it makes on the way. With checkpointing the backward pass runs it again. */
export function runPart<T extends Tensor>(
  pass: Pass,
  inputs: readonly Tensor[],
  run: (inputs: readonly Tensor[]) => Seen<T>,
): Seen<T> {
  if (!pass.checkpointing) return tidy(() => run(inputs));
  const { x, ...seen } = checkpoint(
    (...again: Tensor[]): Record<string, Tensor> => {
      const result = run(again);
      return { ...result.seen, x: result.x };
    },
    [...inputs],
  );
  return { x: x as T, seen };
}
