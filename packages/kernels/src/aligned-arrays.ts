/** Where the system's allocator puts what it maps by itself: 16 bytes, its own note, after a page's start. This offset
 * makes that a multiple of 64, on which native TensorFlow insists. */
const OFFSET = 48;
const ROOM = 64;
/** Smaller arrays are not mapped by themselves, and not worth it. */
const LEAST_BYTES = 2 ** 18;

/** Zeroed bytes for a tensor that lives long, such as a weight, placed so that native TensorFlow can use them where they
 * are, instead of copying; on other systems and backends they are bytes like any other. */
export function alignedBytes(length: number): Uint8Array<ArrayBuffer> {
  return length < LEAST_BYTES ? new Uint8Array(length) : new Uint8Array(new ArrayBuffer(length + ROOM), OFFSET, length);
}

/** As alignedBytes, for `count` float32 values. The tensor shares them: do not change them afterwards. */
export function alignedFloats(count: number): Float32Array<ArrayBuffer> {
  const { buffer, byteOffset } = alignedBytes(4 * count);
  return new Float32Array(buffer, byteOffset, count);
}
