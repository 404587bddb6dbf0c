// SPDX-License-Identifier: Apache-2.0
#include "core/verdict.h"

namespace fulcrum {

std::string_view verdict_name(Verdict verdict) {
  static constexpr std::string_view kNames[] = {
#define X(enumerator, name, lost) name,
      FULCRUM_VERDICTS(X)
#undef X
  };
  return kNames[static_cast<size_t>(verdict)];
}

bool verdict_is_loss(Verdict verdict) {
  static constexpr bool kLost[] = {
#define X(enumerator, name, lost) lost,
      FULCRUM_VERDICTS(X)
#undef X
  };
  return kLost[static_cast<size_t>(verdict)];
}

}  // namespace fulcrum
