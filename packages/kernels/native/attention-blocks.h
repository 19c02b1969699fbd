// How attention's tensors lie in memory, and their packing into the blocks that the matrix products take.
#ifndef RASS_ATTENTION_BLOCKS_H_
#define RASS_ATTENTION_BLOCKS_H_

#include <algorithm>

#include "operation.h"
#include "threads.h"

namespace rass {

// Multiples of every instruction set's tile, in rows and in columns; two blocks of scores fit a second-level cache.
constexpr long kQueryBlock = 96;
constexpr long kKeyBlock = 192;

inline long round_up(long count, long multiple) { return (count + multiple - 1) / multiple * multiple; }

// Rows of one head in a tensor [B, L, heads * size].
struct Rows {
  const float* data;
  long count, size, stride;
};

// The heads of all images of a batch; `count` of them. Head h belongs to image h / per_image.
struct Heads {
  Heads(const Shape& q, const Shape& k, long heads_per_image);

  long count, per_image, size, padded_size, queries, keys;

  long query_blocks() const { return (queries + kQueryBlock - 1) / kQueryBlock; }
  long key_blocks() const { return (keys + kKeyBlock - 1) / kKeyBlock; }
  Range query_range(long block) const { return {block * kQueryBlock, std::min(queries, (block + 1) * kQueryBlock)}; }
  Range key_range(long block) const { return {block * kKeyBlock, std::min(keys, (block + 1) * kKeyBlock)}; }

  // A row of a head in a tensor [B, length, heads * size].
  template <typename Float>
  Float* row(Float* tensor, long head, long row, long length) const {
    return tensor + ((head / per_image * length + row) * per_image + head % per_image) * size;
  }
  Rows rows(const float* tensor, long head, Range range, long length) const {
    return {row(tensor, head, range.begin, length), range.end - range.begin, size, per_image * size};
  }
};

// out [size, block] = rows * factor, transposed; columns beyond the rows are 0.
void pack_transposed(const Rows& rows, float factor, long block, float* out);
// out [block, padded] = rows * factor; what is beyond the rows or their size is 0.
void pack_rows(const Rows& rows, float factor, long block, long padded, float* out);
// All key blocks of all heads, [heads, key blocks, size, kKeyBlock] and [heads, key blocks, kKeyBlock, padded size], in
// temporary memory.
const float* pack_keys_transposed(Context& context, const Heads& heads, const float* k);
const float* pack_keys(Context& context, const Heads& heads, const float* k);

// Adds rows [count, stride] * factor to rows of a tensor.
void add_rows(const float* rows, long stride, float factor, const Rows& to);
Buffer zeros(long count);

}  // namespace rass

#endif  // RASS_ATTENTION_BLOCKS_H_
