/*
 * QTest testcase for the pindma device: migration
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pindma-test.h"

#define FAULT_ARG   0xfa017a5900000001ull
#define PD          0x77000001u
#define SHADOW      (IO + 6)            /* a queue that has one */
#define ASLEEP      offsetof(struct pindma_shadow, asleep)

/* What there is to take along */
typedef struct Scene {
    Rig *t;
    MR *mr, *half;
    struct pindma_sqe hammer, slow;
    uint64_t hammer_tag, slow_tag, mark_tag, timed_tag, half_tag, paged_tag;
    uint64_t page;              /* that paged_tag waits for */
} Scene;

static void must_move(Rig *t, const Scene *s)
{
    uint64_t addr = mr_addr(s->mr, s->hammer.offset);
    uint32_t before = ram4(t, addr);

    WAIT_FOR(ram4(t, addr) != before);
}

static Scene scene_new(void)
{
    uint64_t pages[] = { PINDMA_PAGE_ABSENT };
    Rig *t = rig_new(true);
    struct pindma_cqe cqe;
    Scene s = { .t = t };

    t->tag = 0x7a67000000000000;        /* to be found in the stream */
    s.mr = mr_new_in(t, PD, 0x5eed0001, MR_PAGES, FIRST, 0, RW);
    s.half = mr_new(t, 0x5eed0002, 2, 0, 0, RW);
    s.hammer = OP(HAMMER, .mode = PINDMA_ORDER_RANDOM, .key = s.mr->key,
                  .offset = 5, .len = 5 * PAGE, .value = VALUE, .seed = 99,
                  .pd = PD);
    s.slow = OP(HAMMER, .key = s.mr->key, .offset = 13, .len = 2 * PAGE,
                .rate = 1, .value = 1, .pd = PD);
    s.hammer_tag = start(t, IO, s.hammer);
    must_move(t, &s);
    s.slow_tag = start(t, IO + 1, s.slow);
    s.mark_tag = start(t, IO + 1, OP(FILL, .key = s.mr->key, .offset = 24,
                                     .len = 8, .value = 0x11, .pd = PD,
                                     .flags = PINDMA_SQE_ON_MARK, .when = 5));
    s.timed_tag = start(t, IO + 2, OP(FILL, .key = s.mr->key, .offset = 32,
                                      .len = 8, .value = 0x22, .pd = PD,
                                      .delay = 10 * MS));
    run_on(t, IO, OP(NOP));
    run_on(t, IO + 1, OP(NOP));
    run_on(t, IO + 2, OP(NOP));

    /* One that has come half way */
    set4(t, PINDMA_REG_FAULT_SKIP, 1);
    set4(t, PINDMA_REG_FAULT_COUNT, 2);
    set8(t, PINDMA_REG_FAULT_ARG, FAULT_ARG);
    set8(t, PINDMA_REG_FAULT_DELAY, 20 * MS);
    set4(t, PINDMA_REG_FAULT_QUEUES, 1u << (IO + 3));
    set4(t, PINDMA_REG_FAULT, PINDMA_FAULT_DELAY);
    s.half_tag = start(t, IO + 3, OP(FILL, .key = s.half->key, .value = 0x33,
                                     .len = 2 * PAGE));
    WAIT_FOR(reg8(t, PINDMA_REG_FAULT_HITS) == 1);

    /* A page request, and two completions that nobody has read */
    s.page = ram_alloc(t, 1);
    run_ok(t, OP(REG_MR, .key = 0x5eed0003, .mode = RW, .len = PAGE,
                 .value = page_list(t, pages, 1)));
    s.paged_tag = start(t, IO + 4, OP(FILL, .key = 0x5eed0003, .len = 8,
                                      .value = 0x44));
    cqe = reap(t, ADMIN);
    g_assert_cmpuint(cqe.status, ==, PINDMA_ST_PAGE_REQUEST);
    post(t, IO + 5, OP(NOP));
    start(t, IO + 5, OP(NOP));
    WAIT_FOR(qreg4(t, IO + 5, PINDMA_QUEUE_CQ_TAIL) == 2);

    /* A queue with a shadow, which says that the device sleeps */
    queue_setup_shadow(t, SHADOW, 64);
    run_on(t, SHADOW, OP(NOP));
    WAIT_FOR(ram4(t, t->q[SHADOW].shadow + ASLEEP));
    return s;
}

static void scene_free(Scene *s)
{
    rig_free(s->t);
    g_free(s->mr);
    g_free(s->half);
}

static void migrate(Rig *t, const char *uri)
{
    bool done = false;

    qtest_qmp_assert_success(t->qts, "{'execute': 'migrate', 'arguments': "
                             "{'uri': %s}}", uri);
    while (!done) {
        QDict *rsp = qtest_qmp(t->qts, "{'execute': 'query-migrate'}");
        QDict *info = qdict_get_qdict(rsp, "return");
        const char *status = qdict_get_str(info, "status");

        g_assert_cmpstr(status, !=, "failed");
        done = g_str_equal(status, "completed");
        qobject_unref(rsp);
        g_usleep(5000);
    }
}

static char *ram_copy(Rig *t, size_t *size)
{
    char *copy;

    *size = t->ram - RAM_BASE;
    copy = g_malloc(*size);
    qtest_bufread(t->qts, RAM_BASE, copy, *size);
    return copy;
}

/* The other end: the same machine, before anything has come in */
static Rig *rig_incoming(const char *uri)
{
    g_autofree char *args = g_strdup_printf("-S -incoming '%s'", uri);

    return rig_new_bare(true, "", args);
}

static bool has_arrived(Rig *t)
{
    QDict *rsp = qtest_qmp(t->qts, "{'execute': 'query-status'}");
    const char *status = qdict_get_str(qdict_get_qdict(rsp, "return"),
                                       "status");
    bool paused = g_str_equal(status, "paused");

    qobject_unref(rsp);
    return paused;
}

/* What the driver knows has come along with it. */
static void driver_moves(Rig *to, Rig *from)
{
    to->dev = qpci_device_find(to->bus, from->dev->devfn);
    g_assert_nonnull(to->dev);
    to->regs = from->regs;
    to->journal = from->journal;
    to->journal_entries = from->journal_entries;
    memcpy(to->q, from->q, sizeof(to->q));
    to->ram = from->ram;
    to->tag = from->tag;
}

/* On the other side of it, or of a snapshot: everything goes on where it was. */
static void must_go_on(Rig *t, const Scene *s)
{
    uint64_t seq = journal_seq(t), page = s->page, list, n;

    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, BUSY);
    qtest_qmp_assert_success(t->qts, "{'execute': 'cont'}");
    must_move(t, s);
    WAIT_FOR(journal_seq(t) > seq + 1000);

    /* The hammer: not a stamp lost, and its random numbers go on. */
    n = hammer_stop(t, s->hammer_tag);
    want_stamps(s->mr, &s->hammer, n);
    want_stamps(s->mr, &s->slow, 1);
    mr_check(t, s->mr);

    mark(t, IO + 1, 5);
    reap_expect(t, IO + 1, s->mark_tag, PINDMA_ST_OK);
    qtest_clock_step(t->qts, 10 * MS);
    reap_expect(t, IO + 2, s->timed_tag, PINDMA_ST_OK);
    want_bytes(s->mr, 24, 8, 0x11);
    want_bytes(s->mr, 32, 8, 0x22);
    mr_check(t, s->mr);
    want_bytes(s->half, 0, PAGE, 0x33);
    mr_check(t, s->half);
    qtest_clock_step(t->qts, 10 * MS);
    reap_expect(t, IO + 3, s->half_tag, PINDMA_ST_OK);
    want_bytes(s->half, PAGE, PAGE, 0x33);
    mr_check(t, s->half);
    list = page_list(t, &page, 1);
    run_ok(t, OP(UPDATE_MR, .key = 0x5eed0003, .mode = PINDMA_UPDATE_MAP,
                 .len = 1, .value = list));
    reap_expect(t, IO + 4, s->paged_tag, PINDMA_ST_OK);
    g_assert_cmphex(ram4(t, page), ==, 0x44444444);
    reap(t, IO + 5);
    reap(t, IO + 5);

    /* The one with a shadow wakes up, and says so. */
    run_on(t, SHADOW, OP(NOP));
    n = start(t, SHADOW, OP(HAMMER, .key = s->half->key, .len = 8));
    WAIT_FOR(!ram4(t, t->q[SHADOW].shadow + ASLEEP));
    start(t, SHADOW, OP(STOP, .value = n));
    reap_expect(t, SHADOW, n, PINDMA_ST_OK);
    reap(t, SHADOW);
    run_ok(t, OP(DEREG_MR, .key = s->mr->key));
    reap_expect(t, IO + 1, s->slow_tag, PINDMA_ST_ABORTED);
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);

    /* All pages are accounted for. */
    run_ok(t, OP(DEREG_MR, .key = s->half->key));
    run_ok(t, OP(DEREG_MR, .key = 0x5eed0003));
    n = reg4(t, PINDMA_REG_MAX_PAGES);
    run_ok(t, OP(REG_MR, .key = 1, .mode = RW, .len = n * PAGE,
                 .value = RAM_SIZE - n * 8));
}

/*
 * Everything goes on where it was, and on one side only.  Red: a field taken
 * out of pindma-vmstate.c; runstate_is_running() in pindma_can_dma();
 * pindma_kick_all() in pindma_vm_state_change() and pindma_post_load();
 * memory_region_set_dirty() in pindma_journal_stream().
 */
static void test_migrate(void)
{
    g_autofree char *socket = g_strdup_printf("unix:%s/pindma-test-%d",
                                              g_get_tmp_dir(), getpid());
    g_autofree char *was = NULL;
    g_autofree char *still = NULL;
    g_autofree char *there = NULL;
    Scene s = scene_new();
    Rig *t = rig_incoming(socket), *from = s.t;
    struct pindma_journal_entry a, b;
    uint64_t seq, i, reg;
    size_t size;

    migrate(from, socket);
    WAIT_FOR(has_arrived(t));
    was = ram_copy(from, &size);
    seq = journal_seq(from);
    settle();
    still = ram_copy(from, &size);
    g_assert_cmpmem(was, size, still, size);
    g_assert_cmpuint(journal_seq(from), ==, seq);

    driver_moves(t, from);
    there = ram_copy(t, &size);
    g_assert_cmpmem(was, size, there, size);
    for (reg = 0; reg < PINDMA_QUEUE_REGS(PINDMA_NUM_QUEUES); reg += 4) {
        if (reg != PINDMA_REG_TIME) {
            g_assert_cmphex(reg4(t, reg), ==, reg4(from, reg));
        }
    }
    for (i = MAX(seq, 2000) - 1999; i <= seq; i++) {
        a = journal_entry(from, i);
        b = journal_entry(t, i);
        g_assert_cmpmem(&a, sizeof(a), &b, sizeof(b));
    }
    g_assert_cmpuint(journal_seq(t), ==, seq);

    /* The clock of a qtest does not migrate. */
    qtest_clock_set(t->qts, reg8(from, PINDMA_REG_TIME));
    must_go_on(t, &s);

    /* Left behind, the source goes on as well as ever. */
    qtest_qmp_assert_success(from->qts, "{'execute': 'cont'}");
    must_move(from, &s);
    rig_free(t);
    scene_free(&s);
    unlink(socket + strlen("unix:"));
}

/* --------------------------------------------------------------- snapshots */

static void run_job(Rig *t, const char *cmd, QDict *args)
{
    bool done = false;

    qdict_put_str(args, "job-id", "job");
    qtest_qmp_assert_success(t->qts, "{'execute': %s, 'arguments': %p}", cmd,
                             args);
    while (!done) {
        QDict *rsp = qtest_qmp(t->qts, "{'execute': 'query-jobs'}");
        QDict *job = qobject_to(QDict,
                                qlist_peek(qdict_get_qlist(rsp, "return")));

        if (qdict_haskey(job, "error")) {
            g_test_message("%s: %s", cmd, qdict_get_str(job, "error"));
        }
        g_assert_false(qdict_haskey(job, "error"));
        done = g_str_equal(qdict_get_str(job, "status"), "concluded");
        qobject_unref(rsp);
        g_usleep(1000);
    }
    qtest_qmp_assert_success(t->qts, "{'execute': 'job-dismiss', "
                             "'arguments': {'id': 'job'}}");
}

/* An image that snapshots can be in, as node "disk" */
static void disk_new(Rig *t, const char *path)
{
    run_job(t, "blockdev-create", qdict_from_jsonf_nofail(
            "{'options': {'driver': 'file', 'filename': %s, 'size': 0}}",
            path));
    qtest_qmp_assert_success(t->qts, "{'execute': 'blockdev-add', 'arguments':"
                             "{'driver': 'file', 'node-name': 'file', "
                             "'filename': %s}}", path);
    run_job(t, "blockdev-create", qdict_from_jsonf_nofail(
            "{'options': {'driver': 'qcow2', 'file': 'file', "
            "'size': 1048576}}"));
    qtest_qmp_assert_success(t->qts, "{'execute': 'blockdev-add', 'arguments':"
                             "{'driver': 'qcow2', 'node-name': 'disk', "
                             "'file': 'file'}}");
}

static void snapshot(Rig *t, const char *cmd)
{
    run_job(t, cmd, qdict_from_jsonf_nofail("{'tag': 'then', 'vmstate': 'disk',"
                                            " 'devices': ['disk']}"));
}

/*
 * savevm in the middle of everything, and loadvm when that is long over: the
 * device is where it was, and nothing of what came later stays.  Red: as the test
 * of migration; pindma_mr_reset() taken out of pindma_pre_load() leaves the
 * large mr, beside which those of the snapshot have no room.
 */
static void test_snapshot(void)
{
    g_autofree char *path = g_strdup_printf("%s/pindma-test-%d.qcow2",
                                            g_get_tmp_dir(), getpid());
    g_autofree char *was = NULL;
    g_autofree char *then = NULL;
    Scene s = scene_new();
    Rig *t = s.t, driver;
    uint64_t seq, pages;
    size_t size;

    disk_new(t, path);
    qtest_qmp_assert_success(t->qts, "{'execute': 'stop'}");
    was = ram_copy(t, &size);
    seq = journal_seq(t);
    driver = *t;
    snapshot(t, "snapshot-save");
    g_assert_cmpuint(journal_seq(t), ==, seq);

    qtest_qmp_assert_success(t->qts, "{'execute': 'cont'}");
    must_move(t, &s);
    hammer_stop(t, s.hammer_tag);
    run_ok(t, OP(DEREG_MR, .key = s.mr->key));
    run_ok(t, OP(DEREG_MR, .key = s.half->key));
    run_ok(t, OP(DEREG_MR, .key = 0x5eed0003));
    pages = reg4(t, PINDMA_REG_MAX_PAGES);
    run_ok(t, OP(REG_MR, .key = 7, .mode = RW, .len = pages * PAGE,
                 .value = RAM_SIZE - pages * 8));
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, 0);

    qtest_qmp_assert_success(t->qts, "{'execute': 'stop'}");
    snapshot(t, "snapshot-load");
    memcpy(t->q, driver.q, sizeof(t->q));
    t->ram = driver.ram;
    t->tag = driver.tag;
    then = ram_copy(t, &size);
    g_assert_cmpmem(was, size, then, size);
    g_assert_cmpuint(journal_seq(t), ==, seq);
    must_go_on(t, &s);
    scene_free(&s);
    unlink(path);
}

/* --------------------------------------------------------- damaged streams */

static size_t find(const uint8_t *stream, gsize len, const void *what,
                   size_t size)
{
    const uint8_t *at = memmem(stream, len, what, size);

    g_assert_nonnull(at);
    /* If it were there twice, who knows which one this is. */
    g_assert_null(memmem(at + 1, stream + len - at - 1, what, size));
    return at - stream;
}

static size_t find_mr(const uint8_t *stream, gsize len, const MR *mr)
{
    uint8_t what[9];

    stl_be_p(what, mr->key);
    stl_be_p(what + 4, mr->pd);
    what[8] = RW;
    return find(stream, len, what, sizeof(what));
}

static size_t find_op(const uint8_t *stream, gsize len, uint32_t key,
                      uint64_t tag)
{
    uint8_t what[12];

    stl_be_p(what, key);
    stq_be_p(what + 4, tag);
    return find(stream, len, what, sizeof(what));
}

/* Does a machine take the stream?  What it says if it does not. */
static char *incoming(const uint8_t *stream, gsize len)
{
    g_autofree char *path = NULL;
    g_autofree char *cmd = NULL;
    g_autofree char *out = NULL;
    char *err = NULL;
    int status;

    close(g_file_open_tmp("pindma-stream-XXXXXX", &path, NULL));
    g_assert_true(g_file_set_contents(path, (char *)stream, len, NULL));
    cmd = g_strdup_printf("timeout 20 %s -machine q35 -m %u -nodefaults -bios "
                          "%s -global apic.vapic=off -global "
                          "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off "
                          "-accel qtest -display none -S "
                          "-incoming 'exec:cat %s' "
                          "-device pcie-root-port,id=slot0,addr=4 "
                          "-device pindma,id=dut,bus=slot0",
                          getenv("QTEST_QEMU_BINARY"),
                          (unsigned)(RAM_SIZE >> 20), firmware(), path);
    g_assert_true(g_spawn_command_line_sync(cmd, &out, &err, &status, NULL));
    unlink(path);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    return err;
}

/*
 * Nothing in a stream leads astray: it is refused.  The offsets are those of
 * pindma-vmstate.c.  Red: the condition that a row is about, there or in
 * pindma_op_is_sound().
 */
static void test_damaged(void)
{
    enum { MR_, HAMMER, HALF, QUEUE, FAULT, KINDS };
    static const struct {
        int kind, offset, size;
        uint64_t value;
    } rows[] = {
        { MR_, 0, 4, 0x5eed0011 },              /* key of another slot */
        { MR_, 8, 1, 0 },                       /* access */
        { MR_, 9, 4, PAGE },                    /* first_offset */
        { MR_, 13, 8, 0 },                      /* len */
        { MR_, 13, 8, PAGE },
        { MR_, 13, 8, UINT64_MAX },
        { MR_, 21, 4, 1u << 30 },               /* num_pages */
        { MR_, 25, 8, 8 },                      /* the first page */
        { HAMMER, -5, 1, 0xff },                /* state */
        { HAMMER, -4, 1, 0x3f },                /* opcode */
        { HAMMER, -4, 1, PINDMA_OP_REG_MR },
        { HAMMER, -2, 2, 1u << 15 },            /* flags */
        { HAMMER, 12, 8, 1 },                   /* offset */
        { HAMMER, 20, 8, UINT64_MAX },          /* len */
        { HAMMER, 20, 8, 0 },
        { HAMMER, 80, 4, 0 },                   /* pd */
        { HALF, 84, 8, 2 * PAGE },              /* done */
        { HALF, 84, 8, UINT64_MAX },
        { HALF, 144, 8, 0 },                    /* to.left */
        { HALF, 144, 8, 2 * PAGE },
        { QUEUE, 0, 8, RAM_BASE + 8 },          /* sq_addr */
        { QUEUE, 8, 8, RAM_BASE + 8 },          /* cq_addr */
        { QUEUE, 16, 4, 3 },                    /* entries */
        { QUEUE, 16, 4, 0 },
        { QUEUE, 16, 4, 2 * PINDMA_QUEUE_MAX_ENTRIES },
        { QUEUE, 24, 1, 0 },                    /* enabled, with ops */
        { QUEUE, 25, 4, 64 },                   /* sq_head */
        { QUEUE, 29, 4, 64 },                   /* sq_tail */
        { QUEUE, 33, 4, 64 },                   /* cq_head */
        { QUEUE, 37, 4, UINT32_MAX },           /* cq_tail */
        { QUEUE, 48, 8, RAM_BASE + 8 },         /* shadow */
        { FAULT, -13, 1, PINDMA_NUM_FAULTS },
    };
    g_autofree char *path = NULL;
    g_autofree char *uri = NULL;
    g_autofree uint8_t *stream = NULL;
    size_t at[KINDS];
    Scene s = scene_new();
    uint8_t what[16];
    Rig *t;
    gsize len;
    int i, n;

    close(g_file_open_tmp("pindma-stream-XXXXXX", &path, NULL));
    uri = g_strdup_printf("exec:cat > %s", path);
    migrate(s.t, uri);
    g_assert_true(g_file_get_contents(path, (char **)&stream, &len, NULL));
    at[MR_] = find_mr(stream, len, s.mr);
    at[HAMMER] = find_op(stream, len, s.mr->key, s.hammer_tag);
    at[HALF] = find_op(stream, len, s.half->key, s.half_tag);
    stq_be_p(what, s.t->q[IO].sq);
    stq_be_p(what + 8, s.t->q[IO].cq);
    at[QUEUE] = find(stream, len, what, 16);
    stq_be_p(what, FAULT_ARG);
    at[FAULT] = find(stream, len, what, 8);

    /* As it is, it is taken. */
    g_free(uri);
    uri = g_strdup_printf("exec:cat %s", path);
    t = rig_incoming(uri);
    WAIT_FOR(has_arrived(t));
    driver_moves(t, s.t);
    g_assert_cmphex(reg4(t, PINDMA_REG_STATUS), ==, BUSY);
    rig_free(t);

    for (i = 0; i < ARRAY_SIZE(rows); i++) {
        g_autofree uint8_t *bad = g_memdup2(stream, len);
        g_autofree char *err = NULL;

        for (n = 0; n < rows[i].size; n++) {
            bad[at[rows[i].kind] + rows[i].offset + n] =
                rows[i].value >> 8 * (rows[i].size - 1 - n);
        }
        g_test_message("row %d", i);
        err = incoming(bad, len);
        g_assert_nonnull(strstr(err, "pindma"));
    }
    unlink(path);
    scene_free(&s);
}

void pindma_add_migrate_tests(void)
{
    qtest_add_func("/pindma/migrate/live", test_migrate);
    qtest_add_func("/pindma/migrate/snapshot", test_snapshot);
    qtest_add_func("/pindma/migrate/damaged", test_damaged);
}
