// NumPy's arrays as arguments and results of the kernels.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

namespace lsr {

namespace nb = nanobind;

template <class T, size_t dimensions = 1>
using Array = nb::ndarray<const T, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;
using Matrix = Array<float, 2>;

template <class T, size_t dimensions = 1>
using Result = nb::ndarray<nb::numpy, T, nb::ndim<dimensions>, nb::c_contig>;

template <class Message>
void require(bool holds, const Message& message) {
  if (!holds) throw std::invalid_argument(message);
}

// The values as an array of this shape, without copying them.
template <class T, size_t dimensions>
Result<T, dimensions> to_numpy(std::vector<T>&& values, const size_t (&shape)[dimensions]) {
  auto owned = std::make_unique<std::vector<T>>(std::move(values));
  T* data = owned->data();
  nb::capsule owner(owned.release(),
                    [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return Result<T, dimensions>(data, dimensions, shape, owner);
}

template <class T>
Result<T> to_numpy(std::vector<T>&& values) {
  const size_t shape[1] = {values.size()};
  return to_numpy(std::move(values), shape);
}

// A tuple of arrays.
template <class... T>
nb::tuple to_tuple(std::vector<T>&&... values) {
  return nb::make_tuple(to_numpy(std::move(values))...);
}

}  // namespace lsr
