// The inner loops, compiled once per instruction set; `kernels()` picks the best that this machine runs.
//
// Everything here works on plain pointers and on one thread. What is spread over threads, and how, is decided by the
// operations (norm-ops.cc, elementwise-ops.cc, attention-ops.cc and the others).
#ifndef RASS_KERNEL_TABLE_H_
#define RASS_KERNEL_TABLE_H_

namespace rass {

enum class Unary : int { kSilu, kGelu, kQuickGelu };

// The sizes of a tile of the matrix product: `rows` by `columns` results stay in registers.
struct Tile {
  long rows;
  long columns;
};

// One operand of a matrix product. `a` is read as a[p * stride + i]: depth first, rows adjacent.
struct Product {
  long rows, columns, depth;
  const float* a;
  long a_stride;
  const float* b;  // b[p * b_stride + j]
  long b_stride;
  float* c;  // c[i * c_stride + j]
  long c_stride;
};

struct KernelTable {
  const char* name;
  Tile tile;

  // y = f(x), and dx = f'(x) dy.
  void (*unary)(Unary kind, const float* x, float* y, long count);
  void (*unary_grad)(Unary kind, const float* x, const float* dy, float* dx, long count);
  // A row of x holds `width` values and `width` gates; y = value * gelu(gate).
  void (*geglu)(const float* x, float* y, long rows, long width);
  void (*geglu_grad)(const float* x, const float* dy, float* dx, long rows, long width);

  // Per column of x [rows, columns]: sum += x - shift, square_sum += (x - shift)^2.
  void (*moments)(const float* x, const float* shift, float* sum, float* square_sum, long rows, long columns);
  // y = (x - mean) * scale + bias per column, then silu where asked for.
  void (*affine)(const float* x, const float* mean, const float* scale, const float* bias, bool silu, float* y,
                 long rows, long columns);
  // With z = (x - mean) * scale + bias and dz = dy, or dy silu'(z): per column sum += dz, dot += dz * (x - mean).
  void (*affine_grad_sums)(const float* x, const float* dy, const float* mean, const float* scale, const float* bias,
                           bool silu, float* sum, float* dot, long rows, long columns);
  // dx = dz * scale - constant - (x - mean) * slope per column.
  void (*affine_grad)(const float* x, const float* dy, const float* mean, const float* scale, const float* bias,
                      bool silu, const float* constant, const float* slope, float* dx, long rows, long columns);
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float epsilon, float* y, long rows,
                     long columns);
  // Adds to weight_grad and bias_grad.
  void (*layer_norm_grad)(const float* x, const float* weight, const float* dy, float epsilon, float* dx,
                          float* weight_grad, float* bias_grad, long rows, long columns);

  // C = A^T B, in whole tiles: rows and columns are multiples of the tile's, and so padded are the operands.
  void (*multiply)(const Product& product);
  // C += A^T B.
  void (*multiply_add)(const Product& product);
  // The same two for a read as a[i * stride + p]: rows first.
  void (*multiply_rows)(const Product& product);
  void (*multiply_add_rows)(const Product& product);
  // One step of the online softmax over scores [keys, queries], base 2: the scores become exp2(score - maximum) with
  // the columns' new maximum; total is their running sum; correction is what earlier results must be multiplied by.
  // Queries fill whole tiles.
  void (*softmax_step)(float* scores, long keys, long queries, long stride, float* maximum, float* total,
                       float* correction);
  // probability = exp2(score - log_total[row]); on return scores holds the probabilities, and
  // score_grad = probability * (score_grad - delta[row]). [rows, columns], columns in whole tiles.
  void (*softmax_grad)(float* scores, float* score_grad, const float* log_total, const float* delta, long rows,
                       long columns, long stride);
  // y = x * factor; a row of `columns`.
  void (*scale)(const float* x, float factor, float* y, long columns);
  // Winograd's transforms of a tile or of the weights of one input channel (winograd.inc).
  void (*winograd_input)(const float* const* pixels, float* out, long component_stride, long channels);
  void (*winograd_weight)(const float* const* taps, float* out, long component_stride, long channels);
  void (*winograd_output)(const float* in, long component_stride, const float* bias, float* const* pixels,
                          long channels);
  // The dot product of two rows.
  float (*dot)(const float* x, const float* y, long columns);
  // Sums over rows that lie anywhere (deformable.inc): y = sum of weights[r] rows[r]; dots[r] = rows[r] . x; and
  // rows[r] += factors[r] x, one after the other.
  void (*weighted_rows)(const float* const* rows, const float* weights, long count, float* y, long columns);
  void (*row_dots)(const float* const* rows, long count, const float* x, float* dots, long columns);
  void (*add_to_rows)(float* const* rows, const float* factors, long count, const float* x, long columns);
};

const KernelTable* generic_kernels();
#if defined(__x86_64__)
const KernelTable* avx2_kernels();
const KernelTable* avx512_kernels();
#endif

// The best of the above for this machine. RASS_NATIVE_SIMD=generic|avx2|avx512 asks for less.
const KernelTable& kernels();

}  // namespace rass

#endif  // RASS_KERNEL_TABLE_H_
