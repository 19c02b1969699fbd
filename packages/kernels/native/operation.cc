#include "operation.h"

#include <dlfcn.h>

#include <cstdio>
#include <stdexcept>

namespace rass {
namespace {

// A TF_Status that throws what went wrong.
class Status {
 public:
  Status() : status_(TF_NewStatus()) {}
  ~Status() { TF_DeleteStatus(status_); }
  Status(const Status&) = delete;
  Status& operator=(const Status&) = delete;
  operator TF_Status*() { return status_; }
  void check() const {
    if (TF_GetCode(status_) != TF_OK) throw std::runtime_error(TF_Message(status_));
  }

 private:
  TF_Status* status_;
};

bool is_registered(const char* operation) {
  Status status;
  TF_Buffer* kernels = TF_GetRegisteredKernelsForOp(operation, status);
  const bool found = kernels != nullptr && kernels->length > 0;
  if (kernels != nullptr) TF_DeleteBuffer(kernels);
  return found;
}

void unknown_shape(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

// TensorFlow keeps pointers to the kernels for good, so this library may not be unloaded with a worker thread.
void stay_loaded() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&stay_loaded), &info) != 0) {
    dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
  }
}

bool define_all() {
  try {
    stay_loaded();
    define_elementwise_operations();
    define_norm_operations();
    define_attention_operations();
    define_convolution_operations();
    define_deformable_operations();
    return true;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "native backend: the package's own operations are left out: %s\n", error.what());
    return false;
  }
}

// Runs when the addon is loaded.
const bool defined = define_all();

}  // namespace

long size_of(const Shape& shape) {
  long size = 1;
  for (const std::int64_t extent : shape) size *= static_cast<long>(extent);
  return size;
}

Context::~Context() {
  for (TF_Tensor* tensor : held_) TF_DeleteTensor(tensor);
}

InputTensor Context::input(int index) {
  Status status;
  TF_Tensor* tensor = nullptr;
  TF_GetInput(context_, index, &tensor, status);
  status.check();
  held_.push_back(tensor);
  InputTensor result{{}, static_cast<const float*>(TF_TensorData(tensor))};
  for (int i = 0; i < TF_NumDims(tensor); i++) result.shape.push_back(TF_Dim(tensor, i));
  return result;
}

float* Context::output(int index, const Shape& shape) {
  Status status;
  const std::size_t bytes = static_cast<std::size_t>(size_of(shape)) * sizeof(float);
  TF_Tensor* tensor =
      TF_AllocateOutput(context_, index, TF_FLOAT, shape.data(), static_cast<int>(shape.size()), bytes, status);
  if (tensor != nullptr) held_.push_back(tensor);
  status.check();
  return static_cast<float*>(TF_TensorData(tensor));
}

float* Context::temporary(long count) {
  Status status;
  TF_AllocatorAttributes attributes{};
  attributes.struct_size = TF_ALLOCATOR_ATTRIBUTES_STRUCT_SIZE;
  attributes.on_host = 1;
  const std::int64_t extent = count > 0 ? count : 1;
  TF_Tensor* tensor = TF_AllocateTemp(context_, TF_FLOAT, &extent, 1, &attributes, status);
  if (tensor != nullptr) held_.push_back(tensor);
  status.check();
  return static_cast<float*>(TF_TensorData(tensor));
}

long Attributes::integer(const char* name) const {
  Status status;
  std::int64_t value = 0;
  TF_OpKernelConstruction_GetAttrInt64(construction_, name, &value, status);
  status.check();
  return static_cast<long>(value);
}

float Attributes::number(const char* name) const {
  Status status;
  float value = 0;
  TF_OpKernelConstruction_GetAttrFloat(construction_, name, &value, status);
  status.check();
  return value;
}

bool Attributes::flag(const char* name) const {
  Status status;
  TF_Bool value = 0;
  TF_OpKernelConstruction_GetAttrBool(construction_, name, &value, status);
  status.check();
  return value != 0;
}

void require(bool holds, const char* rule, std::initializer_list<const Shape*> shapes) {
  if (holds) return;
  std::string message = std::string(rule) + "; got";
  for (const Shape* shape : shapes) {
    message += " [";
    for (std::size_t i = 0; i < shape->size(); i++) message += (i > 0 ? "," : "") + std::to_string((*shape)[i]);
    message += "]";
  }
  throw std::invalid_argument(message);
}

void report(TF_OpKernelContext* context, const char* message) {
  Status status;
  TF_SetStatus(status, TF_INVALID_ARGUMENT, message);
  TF_OpKernelContext_Failure(context, status);
}

void report(TF_OpKernelConstruction* construction, const char* message) {
  Status status;
  TF_SetStatus(status, TF_INVALID_ARGUMENT, message);
  TF_OpKernelConstruction_Failure(construction, status);
}

void define_operation(const Signature& signature, void* (*create)(TF_OpKernelConstruction*),
                      void (*compute)(void*, TF_OpKernelContext*), void (*destroy)(void*)) {
  // A process may hold two builds of the addon; the first one's operations stay.
  if (is_registered(signature.name)) return;
  TF_OpDefinitionBuilder* operation = TF_NewOpDefinitionBuilder(signature.name);
  for (const char* name : signature.inputs)
    TF_OpDefinitionBuilderAddInput(operation, (std::string(name) + ": float").c_str());
  for (const char* name : signature.outputs)
    TF_OpDefinitionBuilderAddOutput(operation, (std::string(name) + ": float").c_str());
  for (const char* attribute : signature.attributes) TF_OpDefinitionBuilderAddAttr(operation, attribute);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(operation, unknown_shape);
  Status status;
  TF_RegisterOpDefinition(operation, status);
  status.check();
  TF_KernelBuilder* kernel = TF_NewKernelBuilder(signature.name, "CPU", create, compute, destroy);
  TF_RegisterKernelBuilder(signature.name, kernel, status);
  status.check();
}

}  // namespace rass
