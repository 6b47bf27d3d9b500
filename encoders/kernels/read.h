// Values at any address.  Each unit has a copy of its own, compiled for its instruction set.
#pragma once

#include <cstring>

namespace lsr::encoders {
namespace {

template <class Value>
inline Value read(const void* from) {
  Value value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace
}  // namespace lsr::encoders
