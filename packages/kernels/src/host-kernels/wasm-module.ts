import { engine, type TensorInfo } from '@tensorflow/tfjs-core';

/** The parts of the wasm backend that reach its memory. */
interface WasmBackend {
  readonly wasm: { readonly asm?: { readonly memory?: WebAssembly.Memory } };
  readonly dataIdMap: { get(dataId: object): { readonly memoryOffset: number } };
}

type Exports = WebAssembly.Exports;

const instances = new WeakMap<WebAssembly.Memory, Map<string, Exports | undefined>>();

function instantiate(base64: string, memory: WebAssembly.Memory): Exports | undefined {
  try {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    return new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } }).exports;
  } catch {
    // No SIMD here, or the backend's threads share their memory, which a module must be compiled for: plain loops do it, too.
    return undefined;
  }
}

/** What a module of ours exports over the memory of the wasm backend that is current; undefined where it cannot run there. */
export function wasmExports(base64: string): Exports | undefined {
  const { memory } = (engine().backend as unknown as WasmBackend).wasm.asm ?? {};
  if (memory === undefined) return undefined;
  const known = instances.get(memory) ?? new Map<string, Exports | undefined>();
  instances.set(memory, known);
  if (!known.has(base64)) known.set(base64, instantiate(base64, memory));
  return known.get(base64);
}

/** Where a tensor lies in that memory. */
export const addressOf = ({ dataId }: TensorInfo): number =>
  (engine().backend as unknown as WasmBackend).dataIdMap.get(dataId as object).memoryOffset;
