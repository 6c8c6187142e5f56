// Threads, and memory that they keep from call to call.
#pragma once

#include <cstddef>
#include <functional>

namespace impasto {

// The entry point of an OpenMP runtime (GOMP_parallel of libgomp), or null: threads are then started for each call.
// The program that loads this library passes the one that it uses already: the waiting threads of a second runtime
// would take time from those that work.
using StartTeam = void (*)(void (*)(void*), void*, unsigned, unsigned);
extern StartTeam start_team;

// Calls task(number) for each number below `count`, on as many threads.
void run_tasks(int count, int threads, const std::function<void(int)>& task);

// Returns memory of the calling thread, aligned to cache lines, valid until it takes the same slot, 0 or 1, again.
void* workspace(int slot, size_t bytes);

}  // namespace impasto
