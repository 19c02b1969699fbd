import type { Share } from './shares.ts';

/** Every tensor of a share. */
export function shareTensors({ factors, start, magnitude, bias, whole }: Share): { dispose(): void; size: number }[] {
  const pairs = [factors, start].flatMap((each) => (each === undefined ? [] : [each.down, each.up]));
  const wholes = whole === undefined ? [] : [whole.weight, ...('bias' in whole && whole.bias ? [whole.bias] : [])];
  return [
    ...pairs.flatMap((leaf) => ('value' in leaf ? [leaf.value] : [leaf.weight, ...(leaf.bias ? [leaf.bias] : [])])),
    ...(magnitude === undefined ? [] : [magnitude.value]),
    ...(bias === undefined ? [] : [bias.value]),
    ...wholes,
  ];
}

export function disposeShare(share: Share): void {
  for (const tensor of shareTensors(share)) tensor.dispose();
}
