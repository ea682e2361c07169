// When the update of the dense weights is shared out over the processes (optim/update_share.hpp).
// Like settings.hpp, it needs no protobuf.
#pragma once

#include "config/settings.hpp"

namespace switchyard {

// Whether a run on so many processes shares it out. This goes by the configuration and the number
// of processes alone, never by a measured time.
bool shards_optimizer(const Settings& settings, int processes);

}  // namespace switchyard
