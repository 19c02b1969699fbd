// Correlation of a padded plane with a kernel, in AssemblyScript; scripts/wasm-kernels.mjs compiles it. Arguments are addresses in bytes
// and counts; nothing is allocated. Each sum is of the kernel's order, so that it is the same wherever it is computed.

/** Each of `rows` rows of the target has `blocks` blocks of 32 values; a row of the source has `stride` values, which are at least 32 times
 * `blocks`, plus the kernel's width, minus 1. */
export function correlate(
  source: usize,
  stride: usize,
  kernel: usize,
  kernelWidth: usize,
  kernelHeight: usize,
  target: usize,
  blocks: usize,
  rows: usize,
): void {
  for (let y: usize = 0; y < rows; y++) {
    for (let block: usize = 0; block < blocks; block++) {
      let sum0 = f32x4.splat(0);
      let sum1 = f32x4.splat(0);
      let sum2 = f32x4.splat(0);
      let sum3 = f32x4.splat(0);
      let sum4 = f32x4.splat(0);
      let sum5 = f32x4.splat(0);
      let sum6 = f32x4.splat(0);
      let sum7 = f32x4.splat(0);
      let weight = kernel;
      for (let row: usize = 0; row < kernelHeight; row++) {
        let at = source + (((y + row) * stride + block * 32) << 2);
        const end = weight + (kernelWidth << 2);
        while (weight < end) {
          const w = v128.load32_splat(weight);
          sum0 = f32x4.add(sum0, f32x4.mul(w, v128.load(at)));
          sum1 = f32x4.add(sum1, f32x4.mul(w, v128.load(at, 16)));
          sum2 = f32x4.add(sum2, f32x4.mul(w, v128.load(at, 32)));
          sum3 = f32x4.add(sum3, f32x4.mul(w, v128.load(at, 48)));
          sum4 = f32x4.add(sum4, f32x4.mul(w, v128.load(at, 64)));
          sum5 = f32x4.add(sum5, f32x4.mul(w, v128.load(at, 80)));
          sum6 = f32x4.add(sum6, f32x4.mul(w, v128.load(at, 96)));
          sum7 = f32x4.add(sum7, f32x4.mul(w, v128.load(at, 112)));
          at += 4;
          weight += 4;
        }
      }
      const to = target + ((y * blocks + block) << 7);
      v128.store(to, sum0);
      v128.store(to, sum1, 16);
      v128.store(to, sum2, 32);
      v128.store(to, sum3, 48);
      v128.store(to, sum4, 64);
      v128.store(to, sum5, 80);
      v128.store(to, sum6, 96);
      v128.store(to, sum7, 112);
    }
  }
}
