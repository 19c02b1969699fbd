import { beforeAll, describe, it } from 'vitest';

export type BackendName = 'native' | 'wasm' | 'cpu' | 'webgpu';

interface Backends {
  available: readonly BackendName[];
  activate: (name: BackendName) => Promise<unknown>;
}

let provided: Backends | undefined;

/** Says which backends tests run on and how to switch to one; the repository's vitest.setup.ts calls it.
 * It is passed in, not imported, because @rass/kernels itself is tested with this package. */
export function provideBackends(backends: Backends): void {
  provided = backends;
}

/** Makes the named backend the current one. @throws when no set-up file called provideBackends */
export async function activateBackend(name: BackendName): Promise<void> {
  if (provided === undefined) {
    throw new Error(
      'testkit: backends come from vitest.setup.ts; none was provided; run vitest from the repository root',
    );
  }
  await provided.activate(name);
}

/** Declares the same tests once per backend that this machine has, each in its own `describe`. */
export function describeOnBackends(
  title: string,
  body: (backend: BackendName) => void,
  only?: readonly BackendName[],
): void {
  const backends = (provided?.available ?? []).filter((backend) => only?.includes(backend) ?? true);
  // A file without any test would fail.
  if (backends.length === 0) describe.skip(title, () => it('needs a backend that is left out here', () => undefined));
  for (const backend of backends) {
    describe(`${title} [${backend}]`, () => {
      beforeAll(() => activateBackend(backend));
      body(backend);
    });
  }
}
