// Which instruction sets this machine has.
#pragma once

#include <string>
#include <vector>

#include "loops.h"

namespace lsr::encoding {

// Names of the usable sets, best last; "scalar" is always there.
std::vector<std::string> available_isas();

// The loops of a set by name; throws std::invalid_argument when the machine lacks it.
const Loops& loops_for(const std::string& name);

}  // namespace lsr::encoding
