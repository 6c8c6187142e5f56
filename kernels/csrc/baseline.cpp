#define IMPASTO_SET set_baseline
#define LANES 4
#define VECTORS 2
#define ROWS 6
#include "kernels.inc"

namespace impasto {

const InstructionSet baseline{"baseline", [] { return true; }, set_baseline::kernels_of<set_baseline::Float32>(), {}};

}  // namespace impasto
