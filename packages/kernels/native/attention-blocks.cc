#include "attention-blocks.h"

#include <algorithm>

#include "kernel-table.h"

namespace rass {

Heads::Heads(const Shape& q, const Shape& k, long heads_per_image)
    : count(static_cast<long>(q[0]) * heads_per_image),
      per_image(heads_per_image),
      size(static_cast<long>(q[2]) / heads_per_image),
      padded_size(round_up(size, kernels().tile.columns)),
      queries(static_cast<long>(q[1])),
      keys(static_cast<long>(k[1])) {}

void pack_transposed(const Rows& rows, float factor, long block, float* out) {
  // Squares small enough that both sides of the transposition stay in the first-level cache.
  constexpr long kSide = 16;
  for (long c = 0; c < rows.size; c += kSide) {
    const long c_end = std::min(rows.size, c + kSide);
    for (long r = 0; r < rows.count; r += kSide) {
      const long r_end = std::min(rows.count, r + kSide);
      for (long i = c; i < c_end; i++) {
        for (long j = r; j < r_end; j++) out[i * block + j] = rows.data[j * rows.stride + i] * factor;
      }
    }
    for (long i = c; i < c_end; i++) std::fill(out + i * block + rows.count, out + (i + 1) * block, 0.0f);
  }
}

void pack_rows(const Rows& rows, float factor, long block, long padded, float* out) {
  for (long r = 0; r < rows.count; r++) {
    kernels().scale(rows.data + r * rows.stride, factor, out + r * padded, rows.size);
    std::fill(out + r * padded + rows.size, out + (r + 1) * padded, 0.0f);
  }
  std::fill(out + rows.count * padded, out + block * padded, 0.0f);
}

const float* pack_keys_transposed(Context& context, const Heads& h, const float* k) {
  const long blocks = h.count * h.key_blocks();
  float* out = context.temporary(blocks * h.size * kKeyBlock);
  parallel_for(blocks, [&](long job, long) {
    const Range range = h.key_range(job % h.key_blocks());
    pack_transposed(h.rows(k, job / h.key_blocks(), range, h.keys), 1.0f, kKeyBlock, out + job * h.size * kKeyBlock);
  });
  return out;
}

const float* pack_keys(Context& context, const Heads& h, const float* k) {
  const long blocks = h.count * h.key_blocks();
  float* out = context.temporary(blocks * kKeyBlock * h.padded_size);
  parallel_for(blocks, [&](long job, long) {
    const Range range = h.key_range(job % h.key_blocks());
    pack_rows(h.rows(k, job / h.key_blocks(), range, h.keys), 1.0f, kKeyBlock, h.padded_size,
              out + job * kKeyBlock * h.padded_size);
  });
  return out;
}

void add_rows(const float* rows, long stride, float factor, const Rows& to) {
  // The tensor is the kernel's own output; Rows only says where its rows lie.
  float* out = const_cast<float*>(to.data);
  for (long r = 0; r < to.count; r++) {
    for (long i = 0; i < to.size; i++) out[r * to.stride + i] += rows[r * stride + i] * factor;
  }
}

Buffer zeros(long count) {
  Buffer buffer = new_buffer(count);
  std::fill(buffer.get(), buffer.get() + count, 0.0f);
  return buffer;
}

}  // namespace rass
