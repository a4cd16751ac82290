// The scenarios of src/scenario.rs for the validators of C and C++ programs: `scenarios NAME` plays one, the validator
// says on standard error what it finds. With ABSL the locks are absl::Mutex, else those of pthreads, whose reader-writer
// lock prefers readers, so that its readers recurse.

#include <pthread.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <new>

#ifdef ABSL
#include "absl/synchronization/mutex.h"
using Mutex = absl::Mutex;
using RwLock = absl::Mutex;
static void lock(Mutex &m) { m.Lock(); }
static void unlock(Mutex &m) { m.Unlock(); }
static bool try_lock(Mutex &m) { return m.TryLock(); }
static void read_lock(RwLock &l) { l.ReaderLock(); }
static void read_unlock(RwLock &l) { l.ReaderUnlock(); }
#else
struct Mutex {
    pthread_mutex_t raw;
    Mutex() { pthread_mutex_init(&raw, nullptr); }
    ~Mutex() { pthread_mutex_destroy(&raw); }
};
struct RwLock {
    pthread_rwlock_t raw;
    RwLock() { pthread_rwlock_init(&raw, nullptr); }
    ~RwLock() { pthread_rwlock_destroy(&raw); }
};
static void lock(Mutex &m) { pthread_mutex_lock(&m.raw); }
static void unlock(Mutex &m) { pthread_mutex_unlock(&m.raw); }
static bool try_lock(Mutex &m) { return pthread_mutex_trylock(&m.raw) == 0; }
static void read_lock(RwLock &l) { pthread_rwlock_rdlock(&l.raw); }
static void read_unlock(RwLock &l) { pthread_rwlock_unlock(&l.raw); }
#endif

using Work = std::function<void()>;

// Runs `work` on a thread of its own, to its end.
static void thread(const Work &work) {
    pthread_t id;
    pthread_create(&id, nullptr, [](void *work) -> void * { (*static_cast<const Work *>(work))(); return nullptr; },
                   const_cast<Work *>(&work));
    pthread_join(id, nullptr);
}

static void nest(Mutex &outer, Mutex &inner) {
    lock(outer);
    lock(inner);
    unlock(inner);
    unlock(outer);
}

static void nest_readers(RwLock &outer, RwLock &inner) {
    read_lock(outer);
    read_lock(inner);
    read_unlock(inner);
    read_unlock(outer);
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    auto is = [&](const char *name) { return strcmp(arguments[1], name) == 0; };
#ifdef ABSL
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kReport);
#endif
    Mutex a, b, c, gate;
    RwLock read_a, read_b;
    if (is("abba")) {
        thread([&] { nest(a, b); });
        thread([&] { nest(b, a); });
    } else if (is("abba-one-thread")) {
        thread([&] { nest(a, b); nest(b, a); });
    } else if (is("three-cycle")) {
        thread([&] { nest(a, b); });
        thread([&] { nest(b, c); });
        thread([&] { nest(c, a); });
    } else if (is("readers")) {
        thread([&] { nest_readers(read_a, read_b); });
        thread([&] { nest_readers(read_b, read_a); });
    } else if (is("reader-twice")) {
        thread([&] { nest_readers(read_a, read_a); });
    } else if (is("try-lock")) {
        thread([&] { nest(a, b); });
        thread([&] {
            lock(b);
            if (try_lock(a)) unlock(a);
            unlock(b);
        });
    } else if (is("gate")) {
        thread([&] { lock(gate); nest(a, b); unlock(gate); });
        thread([&] { lock(gate); nest(b, a); unlock(gate); });
    } else if (is("instances")) {
        Mutex other_a, other_b;
        thread([&] { nest(a, b); });
        thread([&] { nest(other_b, other_a); });
    } else if (is("hand-over-hand")) {
        thread([&] {
            lock(a);
            lock(b);
            unlock(a);
            lock(c);
            unlock(c);
            unlock(b);
        });
        thread([&] { nest(c, a); });
    } else if (is("destroyed-between")) {
        auto *between = new Mutex;
        thread([&] {
            lock(a);
            lock(*between);
            lock(c);
            unlock(c);
            unlock(*between);
            unlock(a);
        });
        delete between;
        thread([&] { nest(c, a); });
    } else if (is("address-reused")) {
        alignas(Mutex) char room[2][sizeof(Mutex)];
        auto *x = new (room[0]) Mutex, *y = new (room[1]) Mutex;
        thread([&] { nest(*x, *y); });
        x->~Mutex();
        y->~Mutex();
        x = new (room[0]) Mutex;
        y = new (room[1]) Mutex;
        thread([&] { nest(*y, *x); });
        x->~Mutex();
        y->~Mutex();
    } else {
        fprintf(stderr, "no scenario is called %s\n", arguments[1]);
        return 2;
    }
    return 0;
}
