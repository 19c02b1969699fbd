import { closest } from '@rass/nn';

/** The types that a result may be written as. */
export const FLOATS = ['F32', 'F16', 'BF16'] as const;

// PyTorch's names, as in mergekit's recipes, and safetensors' own.
const NAMES: Readonly<Record<string, (typeof FLOATS)[number]>> = {
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  F32: 'F32',
  F16: 'F16',
  BF16: 'BF16',
};

/** @throws when the type is unknown, or not one that a result is written as */
export function outDtype(where: string, name: string): (typeof FLOATS)[number] {
  if (Object.hasOwn(NAMES, name)) return NAMES[name];
  const known = Object.keys(NAMES);
  throw new Error(
    `${where}: out_dtype is one of ${known.join(', ')}; got "${name}"; closest: ${closest(name, known)[0]}`,
  );
}
