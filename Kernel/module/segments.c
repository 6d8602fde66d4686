// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's GDT, which the CPU uses as it stands in the state page, and the
 * selectors that a guest is entered with.
 */
#include <linux/nospec.h>

#include "descriptor.h"
#include "lg.h"

#define GUEST_CODE		0x00cfbb000000ffffull	/* flat, ring 1 */
#define GUEST_DATA		0x00cfb3000000ffffull
#define SWITCHER_CODE		0x00af9b000000ffffull	/* 64 bits, ring 0 */
#define SWITCHER_DATA		0x00cf93000000ffffull
#define TSS_PRESENT		0x89ull
#define TLS_FIRST		6
#define TLS_COUNT		3

void lg_segments_init(struct lguest *lg)
{
	u64 tss = (unsigned long)&lg->state->tss;
	u64 *gdt = lg->state->guest_gdt;

	gdt[GDT_ENTRY_KERNEL_CS] = SWITCHER_CODE;
	gdt[GDT_ENTRY_KERNEL_DS] = SWITCHER_DATA;
	gdt[LG_GDT_TSS] = (sizeof(struct lg_tss) - 1) |
			  (tss & 0xffffff) << 16 | TSS_PRESENT << 40 |
			  (tss >> 24 & 0xff) << 56;
	gdt[LG_GDT_TSS + 1] = tss >> 32;
	gdt[LG_GUEST_CS >> 3] = GUEST_CODE;
	gdt[LG_GUEST_DS >> 3] = GUEST_DATA;
}

static void forget(u32 *selector, u32 index)
{
	if (*selector >> 3 == index)
		*selector = 0;
}

static void set_descriptor(struct lguest *lg, u32 index, u64 descriptor)
{
	struct lg_selectors *checked = &lg->checked;

	if (lg->state->guest_gdt[index] == descriptor)
		return;
	lg->state->guest_gdt[index] = descriptor;
	/*
	 * No selector has been checked against this one.  0 is always good for
	 * data, and never there for code.
	 */
	if (checked->cs >> 3 == index || checked->ss >> 3 == index)
		checked->cs = 0;
	forget(&checked->ds, index);
	forget(&checked->es, index);
	forget(&checked->fs, index);
	forget(&checked->gs, index);
}

void lg_load_gdt_entry(struct lguest *lg, u32 index, u32 low, u32 high)
{
	if (index >= LG_GDT_ENTRIES) {
		lg_kill(lg, "too many gdt entries %u", index);
		return;
	}
	index = array_index_nospec(index, LG_GDT_ENTRIES);
	/* Linux loads a TSS, and zeros for the rest of what is not its own. */
	if (!lg_descriptor_settable(index))
		return;
	set_descriptor(lg, index, lg_descriptor_filter(low, high));
	lg_update_syscall(lg);
}

void lg_load_tls(struct lguest *lg, u32 gpa)
{
	u32 tls[TLS_COUNT][2];
	u32 i;

	if (!lg_read_phys(lg, gpa, tls, sizeof(tls))) {
		lg_kill(lg, "bad read address %#x len %zu", gpa, sizeof(tls));
		return;
	}
	for (i = 0; i < TLS_COUNT; i++)
		set_descriptor(lg, TLS_FIRST + i,
			       lg_descriptor_filter(tls[i][0], tls[i][1]));
	/* A program's segments; but nothing keeps a guest from this. */
	if (lg->kernel_ss >> 3 >= TLS_FIRST &&
	    lg->kernel_ss >> 3 < TLS_FIRST + TLS_COUNT)
		lg_update_syscall(lg);
}

static u32 checked_selector(struct lguest *lg, u32 selector, u32 checked)
{
	return selector == checked ||
	       lg_data_selector_ok(lg->state->guest_gdt, selector) ?
	       selector : 0;
}

static void check_code(struct lguest *lg)
{
	const u64 *gdt = lg->state->guest_gdt;
	struct lg_regs *regs = lg_regs(lg);

	if (!lg_code_selector_ok(gdt, regs->cs))
		lg_kill(lg, "bad code segment %#x", regs->cs);
	else if (!lg_stack_selector_ok(gdt, regs->ss, regs->cs & 3))
		lg_kill(lg, "bad stack segment %#x", regs->ss);
}

/* Most entries are with the selectors of the last one. */
static bool checked_before(const struct lg_selectors *checked,
			   const struct lg_regs *regs)
{
	return !((checked->cs ^ regs->cs) | (checked->ss ^ regs->ss) |
		 (checked->ds ^ regs->ds) | (checked->es ^ regs->es) |
		 (checked->fs ^ regs->fs) | (checked->gs ^ regs->gs));
}

/*
 * Before each entry.  The GDT may have changed since a selector was loaded; a
 * real CPU would go on with what it had loaded then, this one loads a null
 * selector.  Without code or stack there is no going on.
 */
void lg_segments_check(struct lguest *lg)
{
	const struct lg_selectors *checked = &lg->checked;
	struct lg_regs *regs = lg_regs(lg);

	regs->eflags = (regs->eflags & LG_EFLAGS_GUEST) | LG_EFLAGS_ALWAYS;
	if (checked_before(checked, regs))
		return;
	regs->ds = checked_selector(lg, regs->ds, checked->ds);
	regs->es = checked_selector(lg, regs->es, checked->es);
	regs->fs = checked_selector(lg, regs->fs, checked->fs);
	regs->gs = checked_selector(lg, regs->gs, checked->gs);
	if (regs->cs != checked->cs || regs->ss != checked->ss)
		check_code(lg);
	if (lg->dead)
		return;
	lg->checked = (struct lg_selectors){
		regs->cs, regs->ss, regs->ds, regs->es, regs->fs, regs->gs,
	};
}
