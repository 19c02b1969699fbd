/** What a RuntimeError's `rule` can be: what is wrong, for programs. */
export const RULES = {
  BadOption: 'what was asked for is not among what can be asked for; the message names it',
  BadImage: 'the photograph is none that the browser can read, or has no pixels',
  Disposed: 'the runtime was disposed of before it answered',
  NotOpened: 'the model was opened without the task that is asked for: `tasks`',
  NoWorker: 'there are no workers: this is Node, or a server that renders pages',
  WorkerFailed: "the worker's file cannot be had or run: its address, the page's policy, a sandbox",
  PartMissing: "a part of the runtime cannot be had: an older build's files are gone from the server",
  BadMessage: 'the worker was sent what it does not know: page and worker are of different versions',
  NoDevice: 'what was asked to compute cannot be had here',
  WasmFiles: "TensorFlow.js's .wasm files cannot be had: `wasmPaths`",
  WasmPolicy: "the page's policy forbids WebAssembly: `'wasm-unsafe-eval'`",
  DeviceLost: 'the GPU was lost, and again while the model was loaded anew',
  DeviceFailed: 'the GPU did not do what it was told',
  OutOfMemory: 'memory ran out, on the device or in the browser',
  Unreachable: "a server does not answer, or the answer breaks: no network, another site's CORS",
  Stalled: 'a server sends nothing, or nearly nothing, for too long',
  HttpStatus: 'a server answers that it will not send what was asked for',
  RedirectLoop: 'a server sends on and on to other addresses',
  NotFound: 'a file is not where it should be',
  TooLarge: 'an answer is larger than what was asked for, or than is allowed',
  BadRangeAnswer: 'a server sends another part of a file than was asked for',
  SourceChanged: 'a file changed while it was read',
  BadHash: "a file is not the one of the model's list: damaged, or of another version",
  BadManifest: "the list of the model's files is damaged",
  BadJson: 'a file of the model is no JSON',
  BadModel: "the model's folder is none, is damaged, or was not trained for the task",
  NoModelIndex: 'there is no model at this address',
  NoStore: 'the browser keeps nothing here, and `store` names where',
  NoCrypto: 'hashes cannot be computed, since the page is not secure, and `store` names where files are kept',
  Failed: 'something else: a fault of the runtime; the message says what',
} as const satisfies Record<string, string>;

/** A RuntimeError's rule. */
export type RuntimeRule = keyof typeof RULES;

export const isRule = (rule: unknown): rule is RuntimeRule => typeof rule === 'string' && Object.hasOwn(RULES, rule);
