// Multi-head attention as TensorFlow operations, forward and backward, which never hold the [L, S] matrix: blocks of
// queries meet blocks of keys, and the softmax is kept up as the blocks come (Dao 2023, arXiv 2307.08691).
//
// Scores are in base 2: the queries are multiplied by scale * log2(e) when they are packed.
#include <algorithm>
#include <cmath>
#include <vector>

#include "attention-blocks.h"
#include "kernel-table.h"
#include "operation.h"
#include "threads.h"

namespace rass {
namespace {

constexpr float kHidden = -1e30f;
constexpr float kLog2E = 1.44269504f;

struct AttentionOptions {
  explicit AttentionOptions(const Attributes& a)
      : heads(a.integer("heads")), scale(a.number("scale")), causal(a.flag("causal")) {}
  long heads;
  float scale;
  bool causal;
};

void check(const InputTensor& q, const InputTensor& k, const InputTensor& v, long heads) {
  require(q.shape.size() == 3 && k.shape.size() == 3 && k.shape == v.shape && q.shape[0] == k.shape[0] &&
              q.shape[2] == k.shape[2] && heads > 0 && q.shape[2] % heads == 0 && k.shape[1] > 0,
          "attention: q [B, L, C], k and v [B, S, C], heads that divide C", {&q.shape, &k.shape, &v.shape});
}

// Hides from each query the keys after it. Scores [keys, queries].
void hide_later_keys(float* scores, Range keys, Range queries) {
  for (long k = std::max(keys.begin, queries.begin + 1); k < keys.end; k++) {
    float* row = scores + (k - keys.begin) * kQueryBlock;
    std::fill(row, row + std::min(queries.end, k) - queries.begin, kHidden);
  }
}

// The same for scores [queries, keys].
void hide_later_keys_of_rows(float* scores, Range keys, Range queries) {
  for (long q = queries.begin; q < queries.end; q++) {
    float* row = scores + (q - queries.begin) * kKeyBlock;
    const long first = std::max(keys.begin, q + 1);
    if (first < keys.end) std::fill(row + first - keys.begin, row + kKeyBlock, kHidden);
  }
}

// Multiplies the rows of the result so far by what the new maximum makes of them; mostly that is 1.
void correct_rows(float* out, const float* correction, long rows, long columns) {
  for (long i = 0; i < rows; i++) {
    if (correction[i] != 1.0f) kernels().scale(out + i * columns, correction[i], out + i * columns, columns);
  }
}

// The attention of one block of queries of one head.
class ForwardBlock {
 public:
  ForwardBlock(const Heads& h, const float* q, float scale)
      : heads_(h),
        queries_(new_buffer(h.size * kQueryBlock)),
        scores_(new_buffer(kKeyBlock * kQueryBlock)),
        out_(new_buffer(kQueryBlock * h.padded_size)),
        maximum_(kQueryBlock, kHidden),
        total_(kQueryBlock, 0.0f),
        correction_(kQueryBlock, 1.0f),
        q_(q),
        scale_(scale) {
    std::fill(scores_.get(), scores_.get() + kKeyBlock * kQueryBlock, 0.0f);
    std::fill(out_.get(), out_.get() + kQueryBlock * h.padded_size, 0.0f);
  }

  void run(long head, Range queries, const float* keys, const float* values, bool causal, float* out,
           float* log_total) {
    pack_transposed(heads_.rows(q_, head, queries, heads_.queries), scale_ * kLog2E, kQueryBlock, queries_.get());
    const long count = queries.end - queries.begin, padded = round_up(count, kernels().tile.columns);
    for (long block = 0; block < heads_.key_blocks(); block++) {
      const Range range = heads_.key_range(block);
      if (causal && range.begin >= queries.end) break;
      add_keys(range, queries, padded, keys + block * heads_.size * kKeyBlock,
               values + block * kKeyBlock * heads_.padded_size, causal);
    }
    for (long i = 0; i < count; i++) {
      kernels().scale(out_.get() + i * heads_.padded_size, 1.0f / total_[i],
                      heads_.row(out, head, queries.begin + i, heads_.queries), heads_.size);
      log_total[head * heads_.queries + queries.begin + i] = maximum_[i] + std::log2(total_[i]);
    }
  }

 private:
  void add_keys(Range keys, Range queries, long padded, const float* key_block, const float* value_block, bool causal) {
    const Tile tile = kernels().tile;
    const long count = keys.end - keys.begin;
    kernels().multiply({round_up(count, tile.rows), padded, heads_.size, key_block, kKeyBlock, queries_.get(),
                        kQueryBlock, scores_.get(), kQueryBlock});
    if (causal) hide_later_keys(scores_.get(), keys, queries);
    kernels().softmax_step(scores_.get(), count, padded, kQueryBlock, maximum_.data(), total_.data(),
                           correction_.data());
    const long rows = round_up(queries.end - queries.begin, tile.rows);
    correct_rows(out_.get(), correction_.data(), rows, heads_.padded_size);
    kernels().multiply_add({rows, heads_.padded_size, count, scores_.get(), kQueryBlock, value_block,
                            heads_.padded_size, out_.get(), heads_.padded_size});
  }

  const Heads& heads_;
  Buffer queries_, scores_, out_;
  std::vector<float> maximum_, total_, correction_;
  const float* q_;
  float scale_;
};

void run_attention(const AttentionOptions& options, Context& context) {
  const InputTensor q = context.input(0), k = context.input(1), v = context.input(2);
  check(q, k, v, options.heads);
  float* out = context.output(0, q.shape);
  const Heads h(q.shape, k.shape, options.heads);
  float* log_total = context.output(1, {q.shape[0], options.heads, q.shape[1]});
  const float* keys = pack_keys_transposed(context, h, k.data);
  const float* values = pack_keys(context, h, v.data);
  parallel_for(h.count * h.query_blocks(), [&](long job, long) {
    const long head = job / h.query_blocks(), block = job % h.query_blocks();
    ForwardBlock(h, q.data, options.scale)
        .run(head, h.query_range(block), keys + head * h.key_blocks() * kKeyBlock * h.size,
             values + head * h.key_blocks() * kKeyBlock * h.padded_size, options.causal, out, log_total);
  });
}

// What the backward pass reads of the queries' side, packed once.
struct QuerySide {
  float *q_transposed, *q, *dout_transposed, *dout;  // blocks of all heads
  std::vector<float> log_total, delta;               // [heads, query blocks, kQueryBlock]
};

QuerySide pack_query_side(Context& context, const Heads& h, const float* q, const float* out, const float* dout,
                          const float* log_total, float scale) {
  const long blocks = h.count * h.query_blocks();
  const long transposed = blocks * h.size * kQueryBlock, straight = blocks * kQueryBlock * h.padded_size;
  QuerySide side{context.temporary(transposed), context.temporary(straight), context.temporary(transposed),
                 context.temporary(straight),
                 // A row that pads the last block gets the probability exp2(0 - 1e30) = 0.
                 std::vector<float>(static_cast<std::size_t>(blocks * kQueryBlock), -kHidden),
                 std::vector<float>(static_cast<std::size_t>(blocks * kQueryBlock), 0.0f)};
  parallel_for(blocks, [&](long job, long) {
    const long head = job / h.query_blocks();
    const Range range = h.query_range(job % h.query_blocks());
    const Rows q_rows = h.rows(q, head, range, h.queries), dout_rows = h.rows(dout, head, range, h.queries);
    pack_transposed(q_rows, scale * kLog2E, kQueryBlock, side.q_transposed + job * h.size * kQueryBlock);
    pack_rows(q_rows, scale * kLog2E, kQueryBlock, h.padded_size, side.q + job * kQueryBlock * h.padded_size);
    pack_transposed(dout_rows, 1.0f, kQueryBlock, side.dout_transposed + job * h.size * kQueryBlock);
    pack_rows(dout_rows, 1.0f, kQueryBlock, h.padded_size, side.dout + job * kQueryBlock * h.padded_size);
    for (long row = range.begin; row < range.end; row++) {
      const std::size_t i = static_cast<std::size_t>(job * kQueryBlock + row - range.begin);
      side.log_total[i] = log_total[head * h.queries + row];
      side.delta[i] = kernels().dot(h.row(out, head, row, h.queries), h.row(dout, head, row, h.queries), h.size);
    }
  });
  return side;
}

struct KeySide {
  const float *k_transposed, *k, *v_transposed;
};

// The gradients of a block of keys and values, summed over the query blocks that one thread met.
struct KeyGradients {
  long head, block;
  Buffer dk, dv;  // [kKeyBlock, padded size]
};

// One thread's share of the backward pass: a run of (head, key block, query block) in this order.
class BackwardShare {
 public:
  BackwardShare(const Heads& h, const QuerySide& queries, const KeySide& keys, bool causal)
      : heads_(h),
        queries_(queries),
        keys_(keys),
        causal_(causal),
        scores_(new_buffer(kQueryBlock * kKeyBlock)),
        score_grads_(new_buffer(kQueryBlock * kKeyBlock)) {}

  void run(Range jobs) {
    for (long job = jobs.begin; job < jobs.end; job++) {
      const long query_block = job % heads_.query_blocks(), rest = job / heads_.query_blocks();
      meet(rest / heads_.key_blocks(), rest % heads_.key_blocks(), query_block);
    }
  }

  // The blocks' sums in the order in which they were met, and dq of every head met, [query blocks, kQueryBlock,
  // padded].
  std::vector<KeyGradients> key_gradients;
  std::vector<std::pair<long, Buffer>> query_gradients;

 private:
  void meet(long head, long key_block, long query_block) {
    if (key_gradients.empty() || key_gradients.back().head != head || key_gradients.back().block != key_block) {
      const long size = kKeyBlock * heads_.padded_size;
      key_gradients.push_back({head, key_block, zeros(size), zeros(size)});
    }
    if (query_gradients.empty() || query_gradients.back().first != head) {
      query_gradients.emplace_back(head, zeros(heads_.query_blocks() * kQueryBlock * heads_.padded_size));
    }
    const Range keys = heads_.key_range(key_block), queries = heads_.query_range(query_block);
    if (causal_ && keys.begin >= queries.end) return;
    const long key = head * heads_.key_blocks() + key_block, query = head * heads_.query_blocks() + query_block;
    score(keys, queries, key, query);
    add(keys, queries, key, query, query_block);
  }

  // scores: the probabilities; score_grads: their gradient through the softmax. [queries, keys]
  void score(Range keys, Range queries, long key, long query) {
    const Tile tile = kernels().tile;
    const long rows = round_up(queries.end - queries.begin, tile.rows);
    const long columns = round_up(keys.end - keys.begin, tile.columns);
    const long of_query = query * heads_.size * kQueryBlock, of_key = key * heads_.size * kKeyBlock;
    kernels().multiply({rows, columns, heads_.size, queries_.q_transposed + of_query, kQueryBlock,
                        keys_.k_transposed + of_key, kKeyBlock, scores_.get(), kKeyBlock});
    if (causal_) hide_later_keys_of_rows(scores_.get(), keys, queries);
    kernels().multiply({rows, columns, heads_.size, queries_.dout_transposed + of_query, kQueryBlock,
                        keys_.v_transposed + of_key, kKeyBlock, score_grads_.get(), kKeyBlock});
    kernels().softmax_grad(scores_.get(), score_grads_.get(), queries_.log_total.data() + query * kQueryBlock,
                           queries_.delta.data() + query * kQueryBlock, rows, columns, kKeyBlock);
  }

  void add(Range keys, Range queries, long key, long query, long query_block) {
    const Tile tile = kernels().tile;
    const long size = heads_.padded_size;
    const long key_rows = round_up(keys.end - keys.begin, tile.rows), depth = queries.end - queries.begin;
    const long of_query = query * kQueryBlock * size;
    KeyGradients& sums = key_gradients.back();
    kernels().multiply_add(
        {key_rows, size, depth, scores_.get(), kKeyBlock, queries_.dout + of_query, size, sums.dv.get(), size});
    kernels().multiply_add(
        {key_rows, size, depth, score_grads_.get(), kKeyBlock, queries_.q + of_query, size, sums.dk.get(), size});
    kernels().multiply_add_rows({round_up(depth, tile.rows), size, keys.end - keys.begin, score_grads_.get(), kKeyBlock,
                                 keys_.k + key * kKeyBlock * size, size,
                                 query_gradients.back().second.get() + query_block * kQueryBlock * size, size});
  }

  const Heads& heads_;
  const QuerySide& queries_;
  const KeySide& keys_;
  const bool causal_;
  Buffer scores_, score_grads_;
};

// Adds up what the shares found, in their order, so that the result depends on the number of threads alone.
void collect(const Heads& h, std::vector<std::unique_ptr<BackwardShare>>& shares, float scale, float* dq, float* dk,
             float* dv) {
  for (auto& share : shares) {
    for (auto& [head, sum] : share->query_gradients) {
      for (long block = 0; block < h.query_blocks(); block++) {
        add_rows(sum.get() + block * kQueryBlock * h.padded_size, h.padded_size, scale,
                 h.rows(dq, head, h.query_range(block), h.queries));
      }
    }
    for (KeyGradients& sum : share->key_gradients) {
      const Range range = h.key_range(sum.block);
      // The packed queries carry scale * log2(e), of which scale belongs to the gradient.
      add_rows(sum.dk.get(), h.padded_size, 1.0f / kLog2E, h.rows(dk, sum.head, range, h.keys));
      add_rows(sum.dv.get(), h.padded_size, 1.0f, h.rows(dv, sum.head, range, h.keys));
    }
  }
}

void run_attention_grad(const AttentionOptions& options, Context& context) {
  const InputTensor q = context.input(0), k = context.input(1), v = context.input(2), out = context.input(3),
                    log_total = context.input(4), dy = context.input(5);
  check(q, k, v, options.heads);
  require(out.shape == q.shape && dy.shape == q.shape && log_total.size() * q.last() == q.size() * options.heads,
          "attention: out and dy have the shape of q, log_total [B, heads, L]",
          {&out.shape, &dy.shape, &log_total.shape});
  float* dq = context.output(0, q.shape);
  float* dk = context.output(1, k.shape);
  float* dv = context.output(2, v.shape);
  std::fill(dq, dq + q.size(), 0.0f);
  std::fill(dk, dk + k.size(), 0.0f);
  std::fill(dv, dv + v.size(), 0.0f);
  const Heads h(q.shape, k.shape, options.heads);
  const QuerySide queries = pack_query_side(context, h, q.data, out.data, dy.data, log_total.data, options.scale);
  const KeySide keys{pack_keys_transposed(context, h, k.data), pack_keys(context, h, k.data),
                     pack_keys_transposed(context, h, v.data)};
  const long jobs = h.count * h.key_blocks() * h.query_blocks(), threads = std::min<long>(thread_count(), jobs);
  std::vector<std::unique_ptr<BackwardShare>> shares(static_cast<std::size_t>(threads));
  parallel_for(threads, [&](long thread, long) {
    auto& share = shares[static_cast<std::size_t>(thread)];
    share = std::make_unique<BackwardShare>(h, queries, keys, options.causal);
    share->run(range_of(thread, threads, jobs));
  });
  collect(h, shares, options.scale, dq, dk, dv);
}

}  // namespace

void define_attention_operations() {
  const std::vector<const char*> attributes = {"heads: int", "scale: float", "causal: bool"};
  define_operation<AttentionOptions, run_attention>(
      {"RassAttention", {"q", "k", "v"}, {"out", "log_total"}, attributes});
  define_operation<AttentionOptions, run_attention_grad>(
      {"RassAttentionGrad", {"q", "k", "v", "out", "log_total", "dy"}, {"dq", "dk", "dv"}, attributes});
}

}  // namespace rass
