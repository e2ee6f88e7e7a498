/*
 * pindma: engines, who does the work and when
 *
 * Each queue has an engine of its own, all of the same kind.
 *
 * engine=thread: a thread that is kicked by doorbells.  vCPUs run guest code
 * without the BQL, so DMA is concurrent with all guest loads and stores.
 *
 * engine=timer: a timer of QEMU_CLOCK_VIRTUAL, at intervals that come from a
 * seed.  Under -icount the DMA comes between two guest instructions, and
 * between the same two whenever the same guest runs with the same seed.
 *
 * Either holds the BQL for a batch of at most PINDMA_BATCH steps, each of them
 * an access to a page or the end of an op, and keeps nothing in local variables
 * across batches.  Whatever a device must be ordered against (registers, bus
 * mastering, reset, FLR, the MSI-X table, invalidations of a vIOMMU, vm_stop,
 * unplug) happens under the BQL and so between two batches.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/rcu.h"
#include "pindma-internal.h"

/* How long a thread looks for more work before it sleeps: a wake-up is slow. */
#define PINDMA_SPIN_NS          (20 * SCALE_US)

/*
 * How long it sleeps at least.  A hammer of 1 M stamps/s is not worth a wake-up
 * for each stamp: it would keep a CPU busy that guests could use.
 */
#define PINDMA_NAP_NS           (100 * SCALE_US)

/* Timers: at most so many steps, and then at most so long nothing */
#define PINDMA_TIMER_STEPS      8
#define PINDMA_TIMER_NS         2000

bool pindma_engine_check(PinDMAState *s, Error **errp)
{
    const char *name = s->engine ?: "auto";

    if (!strcmp(name, "auto")) {
        s->timer = icount_enabled();
    } else if (!strcmp(name, "timer")) {
        s->timer = true;
    } else if (strcmp(name, "thread")) {
        error_setg(errp, "pindma: engine '%s' is not auto, thread or timer",
                   name);
        return false;
    } else if (icount_enabled()) {
        error_setg(errp, "pindma: engine=thread is not for -icount, which it "
                   "would make lose its determinism: use engine=timer");
        return false;
    }
    return true;
}

/*
 * Returns how long there will be nothing to do, ns: 0 for not at all.  The
 * device may be gone then.
 */
static int64_t pindma_engine_batch(PinDMAEngine *engine, unsigned int budget)
{
    PinDMAState *s = engine->s;
    int64_t idle_ns = INT64_MAX;
    bool worked = false;

    engine->kicked = false;
    if (pindma_can_dma(s)) {
        s->now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
        s->wake_ns = INT64_MAX;
        pindma_dma_forget(s);
        WITH_RCU_READ_LOCK_GUARD() {
            pindma_queue_wake(s, engine->queue);
            while (budget && pindma_queue_turn(s, engine->queue, &budget)) {
                worked = true;      /* the budget bounds it */
            }
            pindma_queue_notify(s);
        }
        if (worked) {
            engine->worked_ns = get_clock();
        }
        if (!budget) {
            idle_ns = 0;
        } else if (s->wake_ns != INT64_MAX) {
            idle_ns = s->wake_ns - s->now;
        }
        pindma_journal_flush(s);
        pindma_interrupt(engine);
    }
    return idle_ns;
}

/* ----------------------------------------------------------------- threads */

/*
 * The BQL is not fair.  Engines queue up for it here, so that whoever else wants
 * it, the main loop or a vCPU, has to be luckier than one of them, not than all.
 */
static QemuMutex pindma_engine_turn;

static void __attribute__((constructor)) pindma_engine_init(void)
{
    qemu_mutex_init(&pindma_engine_turn);
}

static void pindma_engine_lock(void)
{
    qemu_mutex_lock(&pindma_engine_turn);
    bql_lock();
    qemu_mutex_unlock(&pindma_engine_turn);
}

/*
 * Without the BQL, which the vCPU needs for the interrupt of what was done: wait
 * a moment for a kick, or a store to the shadow.
 */
static void pindma_engine_spin(PinDMAEngine *engine, int64_t end)
{
    PinDMAQueue *q = &engine->s->queues[engine->queue];
    uint64_t seen = cpu_to_le64(q->shadow_seen);

    WITH_RCU_READ_LOCK_GUARD() {
        const uint64_t *shadow = pindma_queue_peek(engine->s, engine->queue);

        bql_unlock();
        while (!qatomic_read(&engine->kicked) && get_clock() < end &&
               (!shadow || qatomic_read__nocheck(shadow) == seen)) {
            cpu_relax();
        }
    }
    pindma_engine_lock();   /* whose owner may wait for our RCU section */
}

static void pindma_engine_sleep(PinDMAEngine *engine, int64_t idle_ns)
{
    PinDMAState *s = engine->s;
    int64_t now = get_clock();
    int64_t end = engine->worked_ns + PINDMA_SPIN_NS;

    if (idle_ns == INT64_MAX && now < end) {
        pindma_engine_spin(engine, end);
    } else if (idle_ns >= SCALE_MS && pindma_queue_doze(s, engine->queue)) {
        pindma_engine_spin(engine, now);
    } else if (idle_ns == INT64_MAX) {
        qemu_cond_wait_bql(&engine->kick);
    } else if (idle_ns >= SCALE_MS) {
        qemu_cond_timedwait_bql(&engine->kick, 1);
    } else {
        bql_unlock();
        if (idle_ns) {
            g_usleep(MAX(idle_ns, PINDMA_NAP_NS) / SCALE_US);
        }
        pindma_engine_lock();
    }
}

static void *pindma_engine_thread(void *opaque)
{
    PinDMAEngine *engine = opaque;

    rcu_register_thread();
    bql_lock();
    while (engine->s) {
        int64_t idle_ns = pindma_engine_batch(engine, PINDMA_BATCH);

        if (engine->s && !engine->kicked) {
            pindma_engine_sleep(engine, idle_ns);
        }
    }
    bql_unlock();
    rcu_unregister_thread();
    qemu_cond_destroy(&engine->kick);
    g_free(engine);
    return NULL;
}

/* ------------------------------------------------------------------ timers */

/* A timer that is to fire earlier does: kicks do not put it off. */
static void pindma_engine_arm(PinDMAEngine *engine, int64_t idle_ns)
{
    int64_t ns = 1 + pindma_xorshift(&engine->rng) % PINDMA_TIMER_NS;

    timer_mod_anticipate(engine->timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) +
                                        MAX(idle_ns, ns));
}

static void pindma_engine_timer(void *opaque)
{
    PinDMAEngine *engine = opaque;
    unsigned int budget = 1 + pindma_xorshift(&engine->rng) %
                              PINDMA_TIMER_STEPS;
    int64_t idle_ns;

    engine->busy = true;
    idle_ns = pindma_engine_batch(engine, budget);
    engine->busy = false;
    if (engine->s && !engine->kicked && idle_ns &&
        pindma_queue_doze(engine->s, engine->queue)) {
        engine->kicked = true;
    }
    if (!engine->s) {
        timer_free(engine->timer);
        g_free(engine);
    } else if (engine->kicked || idle_ns != INT64_MAX) {
        pindma_engine_arm(engine, engine->kicked ? 0 : idle_ns);
    }
}

/* -------------------------------------------------------------------- both */

void pindma_engine_start(PinDMAState *s)
{
    int i;

    for (i = 0; i < PINDMA_NUM_QUEUES; i++) {
        PinDMAEngine *engine = g_new0(PinDMAEngine, 1);
        QemuThread thread;

        engine->s = s;
        engine->queue = i;
        s->queues[i].engine = engine;
        if (s->timer) {
            engine->rng = s->seed * PINDMA_NUM_QUEUES + i + 1;
            engine->rng = engine->rng * PINDMA_PATTERN_STEP | 1;
            engine->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL,
                                         pindma_engine_timer, engine);
        } else {
            qemu_cond_init(&engine->kick);
            qemu_thread_create(&thread, "pindma", pindma_engine_thread, engine,
                               QEMU_THREAD_DETACHED);
        }
    }
}

/* No batch runs now, or it is the caller, and none will follow. */
void pindma_engine_stop(PinDMAState *s)
{
    int i;

    for (i = 0; i < PINDMA_NUM_QUEUES; i++) {
        PinDMAEngine *engine = s->queues[i].engine;

        s->queues[i].engine = NULL;
        engine->s = NULL;
        if (!s->timer) {
            qatomic_set(&engine->kicked, true);
            qemu_cond_signal(&engine->kick);
        } else {
            timer_del(engine->timer);
            if (!engine->busy) {
                timer_free(engine->timer);
                g_free(engine);
            }
        }
    }
}

void pindma_kick(PinDMAState *s, int qn)
{
    PinDMAEngine *engine = s->queues[qn].engine;

    if (!engine) {
        return;
    }
    if (!s->timer) {
        qatomic_set(&engine->kicked, true);
        qemu_cond_signal(&engine->kick);
    } else if (engine->busy) {
        engine->kicked = true;
    } else {
        pindma_engine_arm(engine, 0);
    }
}

void pindma_kick_all(PinDMAState *s)
{
    int i;

    for (i = 0; i < PINDMA_NUM_QUEUES; i++) {
        pindma_kick(s, i);
    }
}
