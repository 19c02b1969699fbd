// TensorFlow's stable C interface for kernels, in a form that an operation of ours can be written down in.
#ifndef RASS_OPERATION_H_
#define RASS_OPERATION_H_

// Leaves out a header of kernels.h that the wheel's C headers do not bring along.
#define IS_SLIM_BUILD
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace rass {

using Shape = std::vector<std::int64_t>;
long size_of(const Shape& shape);

struct InputTensor {
  Shape shape;
  const float* data;
  long size() const { return size_of(shape); }
  std::int64_t last() const { return shape.empty() ? 1 : shape.back(); }
};

// What a kernel computes with; an exception thrown from it becomes the operation's error.
class Context {
 public:
  explicit Context(TF_OpKernelContext* context) : context_(context) {}
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  InputTensor input(int index);
  float* output(int index, const Shape& shape);
  // Memory until the kernel ends, from TensorFlow's pool: fresh pages of the system's would cost more than what many
  // kernels compute. To be asked for on the thread that runs the kernel.
  float* temporary(long count);

 private:
  TF_OpKernelContext* context_;
  std::vector<TF_Tensor*> held_;
};

// The attributes that an operation may have, read once.
class Attributes {
 public:
  explicit Attributes(TF_OpKernelConstruction* construction) : construction_(construction) {}
  long integer(const char* name) const;
  float number(const char* name) const;
  bool flag(const char* name) const;

 private:
  TF_OpKernelConstruction* construction_;
};

// Throws "operation: rule; got ..." where a kernel's inputs do not fit; the TypeScript functions check before.
void require(bool holds, const char* rule, std::initializer_list<const Shape*> shapes);

struct Signature {
  const char* name;
  std::vector<const char*> inputs;      // names; all are float32
  std::vector<const char*> outputs;     // names; all are float32
  std::vector<const char*> attributes;  // "groups: int"
};

void define_operation(const Signature& signature, void* (*create)(TF_OpKernelConstruction*),
                      void (*compute)(void*, TF_OpKernelContext*), void (*destroy)(void*));
void report(TF_OpKernelContext* context, const char* message);
void report(TF_OpKernelConstruction* construction, const char* message);

// Registers an operation for the CPU. Options is made from Attributes; run(const Options&, Context&) computes.
template <typename Options, void (*run)(const Options&, Context&)>
void define_operation(const Signature& signature) {
  define_operation(
      signature,
      [](TF_OpKernelConstruction* construction) -> void* {
        try {
          return new Options(Attributes(construction));
        } catch (const std::exception& error) {
          report(construction, error.what());
          return nullptr;
        }
      },
      [](void* options, TF_OpKernelContext* context) {
        try {
          Context wrapped(context);
          run(*static_cast<const Options*>(options), wrapped);
        } catch (const std::exception& error) {
          report(context, error.what());
        }
      },
      [](void* options) { delete static_cast<Options*>(options); });
}

void define_elementwise_operations();
void define_norm_operations();
void define_attention_operations();
void define_convolution_operations();
void define_deformable_operations();

}  // namespace rass

#endif  // RASS_OPERATION_H_
