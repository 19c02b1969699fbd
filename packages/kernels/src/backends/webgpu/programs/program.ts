import type { WebGPUProgram } from '@tensorflow/tfjs-backend-webgpu/dist/webgpu_program.d.ts';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { CheckedWebGPUBackend } from '../checked-backend.ts';
import type { Packed } from '../packed/packed.ts';

/** What runs programs, and knows which weights are packed. */
export type ProgramBackend = CheckedWebGPUBackend & { packedOf(tensor: TensorInfo): Packed | undefined };

/** What a kernel is called with. */
export interface Call<Attributes = unknown> {
  readonly inputs: Readonly<Record<string, TensorInfo>>;
  readonly attrs: Attributes;
  readonly backend: ProgramBackend;
}

/** Numbers that an element of a buffer has in the shader: one, or a vector. */
export type Components = 1 | 2 | 4;

export type Device = 'hardware' | 'software';
export const deviceOf = ({ isSoftware }: CheckedWebGPUBackend): Device => (isSoftware ? 'software' : 'hardware');

/** A line of code for each of so many, or parts of one. */
export const each = (count: number, line: (i: number) => string, by = '\n'): string =>
  Array.from({ length: count }, (_, i) => line(i)).join(by);

export const vectorOf = (size: number): Components => (size % 4 === 0 ? 4 : 1);
export const typeOf = (components: Components): string => (components === 4 ? 'vec4<f32>' : 'f32');

/** Threads of a workgroup that counts along one axis. */
export const THREADS = 64;

/** Workgroups of THREADS for so many threads, folded where x alone would not reach. */
export function folded(threads: number): [number, number, number] {
  const groups = Math.ceil(threads / THREADS);
  const rows = Math.ceil(groups / 65_535);
  return [Math.ceil(groups / rows), rows, 1];
}

export interface ProgramParts {
  /** Names every constant that is written into the code: programs of one key are compiled once. */
  readonly key: string;
  readonly inputs: Readonly<Record<string, Components>>;
  readonly shape: readonly number[];
  readonly output?: Components;
  readonly workgroup: readonly [number, number, number];
  /** Workgroups along x, y and z. */
  readonly groups: readonly [number, number, number];
  /** Whole numbers that the code finds in `uniforms`, by name; their values are not part of the code. */
  readonly numbers?: Readonly<Record<string, number>>;
  /** The same for other numbers. */
  readonly fractions?: Readonly<Record<string, number>>;
  /** Declarations before `main`, such as shared memory. */
  readonly declarations?: string;
  readonly main: string;
}

/** A compute shader of ours for TensorFlow.js's backend, which writes the declarations of its buffers and uniforms. The
 * code finds `globalId`, `workgroupId`, `localId` and `localIndex`, its inputs by name, and `result`. */
export class Program implements WebGPUProgram {
  readonly variableNames: string[];
  readonly variableComponents: number[];
  readonly outputComponent: number;
  readonly outputShape: number[];
  readonly uniforms: string;
  readonly dispatch: [number, number, number];
  readonly workgroupSize: [number, number, number];
  readonly dispatchLayout: { x: number[]; y: number[]; z: number[] };
  shaderKey: string;
  readonly parts: ProgramParts;

  constructor(parts: ProgramParts) {
    this.parts = parts;
    this.variableNames = Object.keys(parts.inputs);
    this.variableComponents = Object.values(parts.inputs);
    this.outputComponent = parts.output ?? 1;
    this.outputShape = [...parts.shape];
    // TensorFlow.js takes a dispatch as it is where more than x is named, and writes code about each axis of the output.
    const axes = parts.shape.map((_, axis) => axis);
    this.dispatchLayout = { x: axes.slice(-1), y: axes.slice(1, -1), z: axes.slice(0, 1) };
    this.workgroupSize = [...parts.workgroup];
    this.dispatch = [...parts.groups];
    this.shaderKey = `rass_${parts.key}`;
    const declare = (values: object | undefined, type: string): string =>
      Object.keys(values ?? {})
        .map((name) => `${name} : ${type}, `)
        .join('');
    this.uniforms = declare(parts.numbers, 'i32') + declare(parts.fractions, 'f32');
  }

  getUserCode(): string {
    return `${this.parts.declarations ?? ''}\nfn main() {\n${this.parts.main}\n}`;
  }
}

/** Runs a program on the inputs that it names. */
export function runProgram(
  { inputs, backend }: Pick<Call, 'inputs' | 'backend'>,
  parts: ProgramParts,
  output?: TensorInfo,
): TensorInfo {
  const program = new Program(parts);
  const tensors = program.variableNames.map((name) => inputs[name]!);
  const typed = (values: Readonly<Record<string, number>> = {}, type: string): { type: string; data: number[] }[] =>
    Object.values(values).map((value) => ({ type, data: [value] }));
  const uniforms = [...typed(parts.numbers, 'int32'), ...typed(parts.fractions, 'float32')];
  return backend.runWebGPUProgram(program, tensors, 'float32', uniforms, output);
}

/** Runs a program with so many threads in a row: the code finds a thread's number as `index`. */
export function runFlat(
  call: Pick<Call, 'inputs' | 'backend'>,
  { threads, numbers, main, ...parts }: Omit<ProgramParts, 'workgroup' | 'groups'> & { readonly threads: number },
  output?: TensorInfo,
): TensorInfo {
  const flat: ProgramParts = {
    ...parts,
    workgroup: [THREADS, 1, 1],
    groups: folded(threads),
    numbers: { threads, ...numbers },
    main: `
  let index = i32(workgroupId.y * numWorkgroups.x + workgroupId.x) * ${THREADS} + i32(localIndex);
  if (index >= uniforms.threads) { return; }
  ${main}`,
  };
  return runProgram(call, flat, output);
}
