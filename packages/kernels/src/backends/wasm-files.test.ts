import { afterEach, expect, it, vi } from 'vitest';
import { BackendError } from './errors.ts';
import { addressOf, compileWasm, WASM_FILES } from './wasm-files.ts';

afterEach(() => vi.unstubAllGlobals());

it('takes addresses from where the script is, and says what a worker of a blob: address needs', async () => {
  vi.stubGlobal('location', { href: 'https://a.example/app/page.html' });
  expect(addressOf('x.wasm', undefined)).toBe('https://a.example/app/x.wasm');
  expect(addressOf('x.wasm', '/wasm/')).toBe('https://a.example/wasm/x.wasm');
  expect(addressOf('x.wasm', {})).toBeUndefined();

  vi.stubGlobal('location', { href: 'blob:https://a.example/0b1c' });
  const error = await compileWasm(WASM_FILES.simd, '/wasm/').catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(BackendError);
  expect(error).toMatchObject({
    code: 'load-failed',
    message:
      'wasm backend: the address of a .wasm file must be whole in a worker of a blob: or data: address; ' +
      'got "/wasm/tfjs-backend-wasm-simd.wasm"; give an absolute URL in wasm.paths',
  });
  expect(addressOf('x.wasm', 'https://b.example/')).toBe('https://b.example/x.wasm');
});
