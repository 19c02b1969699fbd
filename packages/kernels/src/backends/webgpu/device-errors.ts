/** A computation that the GPU cannot do or did not do. `limit`: refused before it started; `failed` and
 * `out-of-memory`: the device reported it afterwards, and what was computed since the last read is void; `lost`: the
 * device is gone; `sync-read`: a read that could not tell. */
export type DeviceErrorCode = 'limit' | 'failed' | 'out-of-memory' | 'lost' | 'sync-read';

/** An error of the WebGPU device, with the ops that it concerns. */
export class DeviceError extends Error {
  override readonly name = 'DeviceError';
  readonly code: DeviceErrorCode;

  constructor(code: DeviceErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Bytes for people, in binary units: 193 MiB. */
export function byteText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = Math.min(units.length - 1, bytes === 0 ? 0 : Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** step;
  return `${value >= 100 || Number.isInteger(value) ? Math.ceil(value) : value.toFixed(1)} ${units[step]}`;
}
