import type { ParameterSpec, ParameterValue } from './parameter.ts';

/** One tensor of the models that are merged, row-major, the same shape in each. */
export interface MergeInputs {
  /** The tensor's name; methods that draw at random draw by it. */
  readonly name: string;
  readonly shape: readonly number[];
  /** What the models started from, where the method has one. */
  readonly base?: Float32Array;
  /** The models' tensors, without the base, in the recipe's order. */
  readonly tensors: readonly Float32Array[];
}

/** Values of a method's parameters: one, or for those of each model one for each of the inputs' tensors. */
export type MergeParameters = Readonly<Record<string, ParameterValue | readonly ParameterValue[]>>;

/** How many models a method takes, besides the base. */
export interface ModelCount {
  readonly min: number;
  readonly max: number;
}

/** A way to merge, as a recipe names it. */
export interface MergeMethod {
  readonly name: string;
  readonly summary: string;
  readonly source: string;
  /** Absent where the method has no base. */
  readonly withBase?: ModelCount;
  /** Absent where it must have one. */
  readonly withoutBase?: ModelCount;
  readonly parameters: Readonly<Record<string, ParameterSpec>>;
  /** Whether a value of the result depends on the inputs' values of the same place alone: then a tensor may be merged in slices. */
  readonly elementwise: boolean;
  /** @throws when parameters that are each allowed make no sense together */
  readonly check?: (parameters: MergeParameters) => void;
  /** Fills `out` and returns it. The inputs are not changed. */
  readonly merge: (inputs: MergeInputs, parameters: MergeParameters, out: Float32Array) => Float32Array;
}

type MergeFunction<P> = (inputs: MergeInputs, parameters: P, out?: Float32Array) => Float32Array;

type Definition<P> = Omit<MergeMethod, 'merge' | 'check' | 'parameters'> & {
  readonly parameters: Readonly<Record<keyof P, ParameterSpec>>;
  readonly check?: (parameters: P) => void;
  readonly merge: MergeFunction<P>;
};

/** A method of the registry from a function whose parameters have types: the recipe has checked them. */
export function defineMethod<P>(definition: Definition<P>): MergeMethod {
  return definition as unknown as MergeMethod;
}

/** A new array of the inputs' size. */
export function emptyLike({ tensors, base }: MergeInputs): Float32Array {
  return new Float32Array((base ?? tensors[0]).length);
}

/** @throws when the inputs have no base */
export function baseOf(method: string, { base, name }: MergeInputs): Float32Array {
  if (base !== undefined) return base;
  throw new Error(`merge: ${method} merges what models have learned beyond a base; got none for "${name}"; give base`);
}

/** Values are summed in double precision, this many at a time. */
export const BLOCK = 8192;
