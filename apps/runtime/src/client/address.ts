import { RuntimeError } from '../protocol/errors.ts';

/** A model's, a folder's or a photograph's address in full. @throws RuntimeError `BadOption` */
export function addressOf(name: string, address: string | URL): string {
  try {
    return new URL(address, globalThis.location?.href).href;
  } catch (cause) {
    throw new RuntimeError(
      'BadOption',
      `runtime: ${name} is an address; got ${JSON.stringify(address)}; give one in full, or one below the page's`,
      { cause },
    );
  }
}
