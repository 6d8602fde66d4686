/* SPDX-License-Identifier: GPL-2.0-only */
/* A guest, and what the files of the module ask of each other. */
#ifndef LG_H
#define LG_H

#include <linux/atomic.h>
#include <linux/compiler.h>
#include <linux/hrtimer.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <asm/fpu/types.h>

#include "../include/lguest_abi.h"
#include "frame.h"
#include "ring.h"
#include "switcher.h"
#include "walk.h"

#define LG_IRQS			32
#define LG_IDT_ENTRIES		256
#define LG_SYSCALL_VECTOR	0x80
#define LG_HYPERCALL_VECTOR	0x1f
#define LG_FIRST_IRQ_VECTOR	0x20
/* 4 GiB: more than that a guest's tables cannot name without being PAE. */
#define LG_MAX_PFN		0x100000UL
/* The end of the address space that a guest is told to leave alone. */
#define LG_RESERVED_TOP		0x00400000u

/* Cached top levels.  Linux's guests expect at least four. */
#define LG_ROOTS		16
/* Tables that a guest keeps although it does not use them. */
#define LG_SPARES_MAX		32
/* The low 4 GiB: this many entries of the table that maps 1 GiB each. */
#define LG_SLOTS		4

/* Not aligned as a top-level table is. */
#define LG_NO_PGDIR		1u

struct lg_notify_table;

/* The shadow of one top-level table of the guest. */
struct lg_root {
	bool live;
	u32 pgdir;
	u64 used;		/* for eviction: larger is more recent */
	u64 *pgd;
	u64 *slots;		/* the first LG_SLOTS entries map 1 GiB each */
	struct list_head tables;	/* pages of entries, the shared apart */
	u32 directory[LG_SLOTS];	/* PAE: the guest's, shadowed here */
};

struct lg_shadow {
	struct lg_root roots[LG_ROOTS];
	struct lg_root *current_root;
	u64 clock;
	/* From this slot on all roots share their tables: the kernel part. */
	u32 shared_slot;
	u64 *shared[LG_SLOTS];
	struct list_head shared_tables;
	u32 shared_directory[LG_SLOTS];	/* as in a root */
	/* All pages of tables, those above 4 GiB included. */
	u32 pages;
	/* Those that are not in use, on top of the others. */
	struct list_head spares;
	u32 spare_count;
	/* The top-level page whose upper part maps the Switcher. */
	u64 *high;
	int levels;		/* of the host's page tables, and so of these */
	bool smep;
	bool pin_stack;		/* the kernel stack may have been dropped */
};

/* Where things are in lguest_data, which differs between Linux's releases. */
struct lg_data {
	void *words;		/* NULL until LGUEST_INIT */
	u32 noirq_start;
	u32 noirq_end;
	u32 kernel_address;
};

/* The selectors of an entry. */
struct lg_selectors {
	u32 cs;			/* 0 is never a good one */
	u32 ss;
	u32 ds;
	u32 es;
	u32 fs;
	u32 gs;
};

struct lguest {
	/* Held by whoever changes what the launcher sets up. */
	struct mutex lock;
	bool initialised;

	struct task_struct *task;
	struct mm_struct *mm;
	wait_queue_head_t wait;
	bool in_guest;

	/* Why the guest is dead; restart is death of another kind. */
	bool dead;
	bool restart;
	bool death_told;	/* the read() after that gives the reason */
	char death[160];

	/* Guest memory. */
	unsigned long base;
	u32 pfn_limit;
	struct page **pages;
	unsigned long accounted;

	/* The CPU. */
	struct lg_state *state;
	int state_cpu;
	struct fxregs_state *fpu;
	bool fpu_wanted;	/* the guest is about to use it */
	bool task_switched;	/* the guest's CR0.TS */
	u32 dr6;		/* why the last debug trap came */
	u64 last_cr2;
	u32 last_eip;
	u32 same_faults;

	struct lg_tables tables;
	struct lg_shadow shadow;
	u32 boot_pgdir;		/* until the guest has tables of its own */
	u32 boot_table;		/* the first of the tables that it maps with */
	u32 boot_tables;	/* how many there are */

	struct lg_selectors checked;	/* against the GDT as it is */
	struct lg_gate idt[LG_IDT_ENTRIES];
	u32 kernel_ss;
	u32 kernel_esp;
	u32 stack_pages;

	struct lg_data data;
	struct lg_ring ring;
	bool hypercall;		/* one has trapped and is to be done */
	bool halted;
	bool notify;		/* one is for the launcher to see */
	u32 notify_address;

	unsigned long irqs;
	struct hrtimer timer;

	struct lg_notify_table __rcu *notifies;

	struct lguest_counters counters;
};

static inline struct lg_regs *lg_regs(struct lguest *lg)
{
	return &lg->state->regs;
}

/* main.c */
extern bool lg_use_ibpb;
extern unsigned int lg_max_tables;

/* device.c */
extern struct miscdevice lg_device;

/* vcpu.c */
ssize_t lg_run(struct lguest *lg, unsigned long __user *buf);
void lg_wake(struct lguest *lg);
__printf(2, 3) void lg_kill(struct lguest *lg, const char *fmt, ...);

/* memory.c */
int lg_memory_init(struct lguest *lg, unsigned long base,
		   unsigned long pfn_limit);
void lg_memory_exit(struct lguest *lg);
void *lg_page(struct lguest *lg, u32 pfn);
void *lg_map_phys(struct lguest *lg, u32 gpa, u32 len);
bool lg_read_virt(struct lguest *lg, u32 vaddr, void *buf, u32 len);
bool lg_write_virt(struct lguest *lg, u32 vaddr, const void *buf, u32 len);
bool lg_patch_virt(struct lguest *lg, u32 vaddr, const void *buf, u32 len);

/* shadow.c */
int lg_shadow_init(struct lguest *lg);
void lg_shadow_exit(struct lguest *lg);
void lg_shadow_share_kernel(struct lguest *lg, u32 kernel_address);
void lg_shadow_flush_user(struct lguest *lg);
void lg_shadow_flush_all(struct lguest *lg);

/* paging.c */
enum lg_walk_result lg_paging_fault(struct lguest *lg, u32 vaddr, u32 access,
				    u32 *error);
void lg_paging_pin_stack(struct lguest *lg);
bool lg_paging_push(struct lguest *lg, u32 vaddr, const u32 *words, u32 count);
void lg_paging_new_root(struct lguest *lg, u32 pgdir);
void lg_paging_set_pte(struct lguest *lg, u32 pgdir, u32 vaddr, u32 pte);
void lg_paging_set_pgd(struct lguest *lg, u32 pgdir, u32 index);
void lg_paging_set_pmd(struct lguest *lg, u32 pmd, u32 index);

/* boot.c */
int lg_boot(struct lguest *lg, u32 start);
void lg_boot_found_paging(struct lguest *lg, enum lg_paging paging);

/* segments.c */
void lg_segments_init(struct lguest *lg);
void lg_load_gdt_entry(struct lguest *lg, u32 index, u32 low, u32 high);
void lg_load_tls(struct lguest *lg, u32 gpa);
void lg_segments_check(struct lguest *lg);

/* traps.c */
void lg_load_idt_entry(struct lguest *lg, u32 vector, u32 low, u32 high);
void lg_set_stack(struct lguest *lg, u32 ss, u32 esp, u32 pages);
bool lg_reflect(struct lguest *lg, u32 vector, u32 error);
void lg_update_syscall(struct lguest *lg);
bool lg_irq_ready(struct lguest *lg);
void lg_deliver_irq(struct lguest *lg);
void lg_handle_trap(struct lguest *lg, u32 vector);

/* hypercalls.c */
void lg_do_hypercalls(struct lguest *lg);

/* clock.c */
void lg_clock_init(struct lguest *lg);
void lg_clock_exit(struct lguest *lg);
void lg_clock_set(struct lguest *lg, u32 delta);
void lg_clock_write_time(struct lguest *lg);
u32 lg_clock_tsc_khz(void);

/* notify.c */
int lg_notify_set(struct lguest *lg, unsigned long address, int fd);
bool lg_notify_send(struct lguest *lg, u32 address);
void lg_notify_exit(struct lguest *lg);

/* Offsets in lguest_data that no release has moved; ring.h has the others. */
#define LG_DATA_IRQ_ENABLED	0
#define LG_DATA_BLOCKED		4
#define LG_DATA_CR2		8
#define LG_DATA_SECONDS		12
#define LG_DATA_NANOSECONDS	16
#define LG_DATA_IRQ_PENDING	20
#define LG_DATA_RESERVE_MEM	1368
#define LG_DATA_TSC_KHZ		1372

static inline u32 lg_data_read(const struct lguest *lg, u32 offset)
{
	return READ_ONCE(*(u32 *)(lg->data.words + offset));
}

static inline void lg_data_write(struct lguest *lg, u32 offset, u32 value)
{
	WRITE_ONCE(*(u32 *)(lg->data.words + offset), value);
}

#define LG_EFLAGS_IF		0x200

/* Where all handlers of a guest run; both are Linux's. */
#define LG_GUEST_CS		0x61
#define LG_GUEST_DS		0x69

#endif
