import { gunzipSync } from 'fflate';
import { DecoderError } from './decoder-error.ts';

/** What each of the decoders' modules has. */
export interface Exports {
  readonly memory: WebAssembly.Memory;
  reserve(bytes: number): number;
  /** Sets the module itself up. */
  _initialize?(): void;
}

/** A decoder that has one file. Its memory goes with it. */
export interface Instance<E extends Exports> {
  readonly exports: E;
  /** Reserves memory and puts bytes there. @throws when there is none left */
  put(bytes: Uint8Array): number;
  reserve(bytes: number): number;
  /** A copy of what is in memory. */
  take(at: number, bytes: number): Uint8Array<ArrayBuffer>;
  /** What is in memory now: it moves as the memory grows. */
  view(at: number, bytes: number): Uint8Array<ArrayBuffer>;
  /** A text of C. */
  text(at: number): string;
}

const bytesOf = (base64: string): Uint8Array => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/** Compiles a module, once for all files. */
export const compileModule = (text: string): Promise<WebAssembly.Module> =>
  WebAssembly.compile(gunzipSync(bytesOf(text)) as Uint8Array<ArrayBuffer>);

/** WASI's EBADF: there are no files, of which the C library asks. */
const NOT_THERE = 8;

/** A module that holds nothing yet. An error of its leaves as DecoderError; the instance is of no use then. */
export async function newInstance<E extends Exports>(module: WebAssembly.Module): Promise<Instance<E>> {
  const imports: Record<string, Record<string, (...values: number[]) => number>> = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from] = { ...imports[from], [name]: () => NOT_THERE };
  }
  const view = (at: number, bytes?: number): Uint8Array<ArrayBuffer> =>
    new Uint8Array(exports.memory.buffer as ArrayBuffer, at, bytes);
  const text = (at: number): string => {
    const rest = view(at);
    return new TextDecoder().decode(rest.subarray(0, rest.indexOf(0)));
  };
  imports['env'] = {
    fail(at = 0) {
      throw new DecoderError(text(at));
    },
  };
  const { exports: all } = await WebAssembly.instantiate(module, imports);
  const exports = all as unknown as E;
  exports._initialize?.();
  const reserve = (bytes: number): number => {
    const at = exports.reserve(bytes);
    if (at === 0) throw new DecoderError(`it takes more memory than there is: ${bytes} bytes more`);
    return at;
  };
  return {
    exports,
    reserve,
    put(bytes) {
      const at = reserve(bytes.length);
      view(at, bytes.length).set(bytes);
      return at;
    },
    take: (at, bytes) => view(at, bytes).slice(),
    view,
    text,
  };
}
