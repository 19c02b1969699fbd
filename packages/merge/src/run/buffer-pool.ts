/** Arrays that are used again and again: fresh ones would cost the system's zeroing, and wait for the garbage collector. */
export class BufferPool {
  readonly #free: Float32Array<ArrayBuffer>[] = [];
  #bytes = 0;

  /** Bytes of every array that this pool keeps or has lent. */
  get bytes(): number {
    return this.#bytes;
  }

  /** An array of `count` values, which may hold anything. */
  take(count: number): Float32Array<ArrayBuffer> {
    let best = -1;
    for (const [i, array] of this.#free.entries()) {
      if (capacity(array) < count) continue;
      if (best < 0 || capacity(array) < capacity(this.#free[best])) best = i;
    }
    if (best >= 0) return new Float32Array(this.#free.splice(best, 1)[0].buffer, 0, count);
    // A larger one takes the place of one that is too small.
    const dropped = this.#free.shift();
    if (dropped !== undefined) this.#bytes -= dropped.buffer.byteLength;
    this.#bytes += 4 * count;
    return new Float32Array(count);
  }

  /** Takes back what `take` gave. */
  give(array: Float32Array<ArrayBuffer>): void {
    this.#free.push(array);
  }
}

const capacity = (array: Float32Array): number => array.buffer.byteLength / 4;
