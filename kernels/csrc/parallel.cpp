#include "parallel.h"

#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <vector>

namespace impasto {

StartTeam start_team = nullptr;

namespace {

struct Team {
    const std::function<void(int)>* task;
    int count;
    std::atomic<int> next{0};
};

void work(void* data) {
    auto* team = static_cast<Team*>(data);
    for (int number = team->next++; number < team->count; number = team->next++) (*team->task)(number);
}

}  // namespace

void run_tasks(int count, int threads, const std::function<void(int)>& task) {
    Team team;
    team.task = &task;
    team.count = count;
    if (threads > count) threads = count;
    if (threads <= 1) return work(&team);
    if (start_team) return start_team(work, &team, static_cast<unsigned>(threads), 0);
    std::vector<std::thread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(work, &team);
    work(&team);
    for (auto& other : others) other.join();
}

void* workspace(int slot, size_t bytes) {
    struct Free {
        void operator()(void* memory) const { ::operator delete(memory, std::align_val_t{64}); }
    };
    thread_local struct {
        std::unique_ptr<void, Free> memory;
        size_t bytes = 0;
    } slots[2];
    auto& own = slots[slot];
    if (own.bytes < bytes) {
        own.memory.reset();
        own.memory.reset(::operator new(bytes, std::align_val_t{64}));
        std::memset(own.memory.get(), 0, bytes);  // rows that fill up a block are computed, too
        own.bytes = bytes;
    }
    return own.memory.get();
}

}  // namespace impasto
