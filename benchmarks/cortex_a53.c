/* A plugin of QEMU's: counts what a program would keep a Raspberry Pi 3's processor busy with (bench_predict.py).

   Counted: instructions, and what is not found in the caches and translation buffers of a Cortex-A53 as in the BCM2837:
   32 KB of instructions in 2 ways, 32 KB of data in 4, 512 KB for both in 16, 64-byte lines; ten entries each for
   instructions and data, 512 in 4 ways behind them (Cortex-A53 Technical Reference Manual, r0p4, 2.1 and chapters 5 to
   7). The least recently used goes. Nothing is fetched ahead, which the processor does, so that it misses less.

   cc -shared -fPIC -O2 -o cortex_a53.so cortex_a53.c; qemu-aarch64 -plugin cortex_a53.so PROGRAM */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Of qemu-plugin.h, which Debian's packages of QEMU have not. */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int flags, void *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, void (*)(unsigned, uint32_t, uint64_t, void *),
                                      int flags, int reads_and_writes, void *);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = 1;

#define MOST 8192
struct cache {
    unsigned sets, ways;
    uint64_t misses, held[MOST], used[MOST];
};
static struct cache l1i = {.sets = 256, .ways = 2}, l1d = {.sets = 128, .ways = 4}, l2 = {.sets = 512, .ways = 16};
static struct cache itlb = {.sets = 1, .ways = 10}, dtlb = {.sets = 1, .ways = 10}, l2tlb = {.sets = 128, .ways = 4};
static uint64_t now, instructions;

static bool finds(struct cache *cache, uint64_t number)
{
    unsigned first = number % cache->sets * cache->ways, oldest = first;
    for (unsigned way = first; way < first + cache->ways; way++) {
        if (cache->held[way] == number + 1) {
            cache->used[way] = ++now;
            return true;
        }
        if (cache->used[way] < cache->used[oldest])
            oldest = way;
    }
    cache->misses++;
    cache->held[oldest] = number + 1;
    cache->used[oldest] = ++now;
    return false;
}

static void look(struct cache *l1, struct cache *tlb, uint64_t address)
{
    if (!finds(tlb, address >> 12))
        finds(&l2tlb, address >> 12);
    if (!finds(l1, address >> 6))
        finds(&l2, address >> 6);
}

static void on_memory(unsigned vcpu, uint32_t info, uint64_t address, void *nothing)
{
    look(&l1d, &dtlb, address);
}

struct block {
    uint64_t address;
    size_t instructions;
};

static void on_block(unsigned vcpu, void *data)
{
    const struct block *block = data;
    instructions += block->instructions;
    for (uint64_t at = block->address & ~63ull; at < block->address + 4 * block->instructions; at += 64)
        look(&l1i, &itlb, at);
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    struct block *block = malloc(sizeof *block); /* for as long as the program runs, as QEMU keeps its translation */
    if (!block)
        abort();
    block->instructions = qemu_plugin_tb_n_insns(tb);
    block->address = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, 0, block);
    for (size_t each = 0; each < block->instructions; each++)
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, each), on_memory, 0, 3, NULL);
}

static void at_exit(qemu_plugin_id_t id, void *nothing)
{
    fprintf(stderr, "\n{\"instructions\": %lu, \"l1_misses\": %lu, \"l2_misses\": %lu, \"page_walks\": %lu}\n",
            instructions, l1i.misses + l1d.misses, l2.misses, l2tlb.misses);
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
