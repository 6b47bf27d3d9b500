// What the checks of the loops share: random numbers, and a count of what agrees.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "native/isa.h"

namespace lsr {

// SplitMix64: the same numbers on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t bits() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
  uint32_t below(uint32_t end) { return static_cast<uint32_t>((bits() >> 32) * end >> 32); }
  bool one_in(uint32_t count) { return below(count) == 0; }
  // From -1 to 1, most of them near 0.
  float real() {
    const auto half = [&] { return static_cast<float>(below(1 << 24)) / (1 << 24); };
    return half() - half();
  }
  template <class T, size_t size>
  T any(const T (&values)[size]) {
    return values[below(size)];
  }

 private:
  uint64_t state_;
};

// The checks of one loop of one set: they have failed when a case differs from what is expected, or
// when there is none.
class Check {
 public:
  Check(const char* kernels, const char* isa, const char* loop)
      : name_(std::string(kernels) + " " + isa + " " + loop) {}
  ~Check() {
    ++(failed_ || !compared_ ? all_failed : all_passed);
    if (!compared_) std::printf("%s: nothing was compared\n", name_.c_str());
  }
  Check(const Check&) = delete;
  Check& operator=(const Check&) = delete;

  void expect(bool holds, const char* what) {
    compared_ = true;
    if (!holds && !failed_) std::printf("%s: %s\n", name_.c_str(), what);
    failed_ |= !holds;
  }
  template <class T>
  void expect_equal(const std::vector<T>& values, const std::vector<T>& expected,
                    const char* what) {
    compared_ |= !expected.empty();
    if (values == expected) return;
    size_t i = 0;
    while (i < values.size() && i < expected.size() && values[i] == expected[i]) ++i;
    if (!failed_)
      std::printf("%s: %s differ from number %zu of %zu on\n", name_.c_str(), what, i,
                  expected.size());
    failed_ = true;
  }

  static inline size_t all_passed = 0, all_failed = 0;

 private:
  std::string name_;
  bool compared_ = false, failed_ = false;
};

// Checks every loop of every set but the first, which is the scalar one; returns the names of the
// sets with spaces between.
template <class Loops, class Checks>
std::string check_sets(const char* kernels, const Isas<Loops>& isas, const Checks& checks) {
  std::string names;
  for (const std::string& isa : isas.names()) {
    if (!names.empty()) {
      names += " ";
      for (const auto& [loop, check] : checks) {
        Check loop_check(kernels, isa.c_str(), loop);
        check(isas.loops(isa), loop_check);
      }
    }
    names += isa;
  }
  return names;
}

// In index.cpp and encoders.cpp.
std::string check_index();
std::string check_encoders();

}  // namespace lsr
