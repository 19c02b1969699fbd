import { BackendError } from './errors.ts';
import { packageFolder } from './native/sources.ts';

/** The folder of the installed .wasm files, ending in a slash. @throws BackendError not-installed */
export function wasmFolder(): string {
  const folder = packageFolder('@tensorflow/tfjs-backend-wasm');
  if (folder !== undefined) return `${folder}/dist/`;
  throw new BackendError(
    'not-installed',
    'wasm backend: the package @tensorflow/tfjs-backend-wasm must be installed; it is not found; run `npm install @tensorflow/tfjs-backend-wasm`',
  );
}
