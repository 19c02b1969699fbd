/** Why a backend cannot be had. `not-installed`: an npm package is missing; `not-built`: the native addon is missing
 * or older than its sources; `load-failed`: the system's loader refused it, or a page does not serve its files; `blocked`: the page's policy
 * forbids it; `no-device`: no usable GPU adapter. */
export type BackendErrorCode =
  | 'unknown-name'
  | 'not-installed'
  | 'not-built'
  | 'load-failed'
  | 'blocked'
  | 'no-device'
  | 'unsupported'
  | 'install-failed';

/** A backend that was asked for cannot be had; the message says what to install. */
export class BackendError extends Error {
  override readonly name = 'BackendError';
  readonly code: BackendErrorCode;

  constructor(code: BackendErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
