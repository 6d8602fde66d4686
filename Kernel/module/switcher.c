// SPDX-License-Identifier: GPL-2.0-only
/*
 * Around the Switcher: its IDT, the state page of a guest, and what of the CPU
 * is set aside while a guest runs, and put back.
 */
#include <linux/build_bug.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/vmalloc.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/api.h>
#include <asm/fsgsbase.h>
#include <asm/msr-index.h>
#include <asm/special_insns.h>
#include <asm/trapnr.h>

#include "lg.h"

#define AT(field, offset) \
	static_assert(offsetof(struct lg_state, field) == (offset))
AT(host_rsp, LG_HOST_RSP);
AT(host_cr3, LG_HOST_CR3);
AT(host_cr4, LG_HOST_CR4);
AT(host_gs_base, LG_HOST_GS_BASE);
AT(guest_cr3, LG_GUEST_CR3);
AT(guest_cr4, LG_GUEST_CR4);
AT(host_gdtr, LG_HOST_GDTR);
AT(host_idtr, LG_HOST_IDTR);
AT(guest_gdtr, LG_GUEST_GDTR);
AT(guest_idtr, LG_GUEST_IDTR);
AT(transition_gdtr, LG_TRANSITION_GDTR);
AT(host_ldt, LG_HOST_LDT);
AT(verw_selector, LG_VERW_SELECTOR);
AT(flags, LG_FLAGS);
AT(exit_vector, LG_EXIT_VECTOR);
AT(noted, LG_NOTED);
AT(cr2, LG_CR2);
AT(syscall_esp, LG_SYSCALL_ESP);
AT(syscall_frame, LG_SYSCALL_FRAME);
AT(syscall_frame.eflags, LG_SYSCALL_FRAME + 16);
AT(transition_gdt, LG_TRANSITION_GDT);
AT(tss, LG_TSS);
AT(guest_gdt, LG_GUEST_GDT);
AT(regs, LG_REGS);
AT(regs.ds, LG_REGS + LG_REG_DS);
AT(regs.ebx, LG_REGS + LG_REG_EBX);
AT(regs.eax, LG_REGS + LG_REG_EAX);
AT(regs.vector, LG_REGS + LG_REG_VECTOR);
AT(regs.ss, LG_REGS + LG_REG_SS);
static_assert(sizeof(struct lg_state) == PAGE_SIZE);
static_assert(sizeof(struct lg_regs) == LG_REGS_END - LG_REGS);
static_assert(LG_REGS_END % 16 == 0);

/* The host's bits that a guest keeps; what else there is, it is without. */
#define GUEST_CR4 (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_MCE | X86_CR4_OSFXSR | \
		   X86_CR4_OSXMMEXCPT | X86_CR4_PCIDE | X86_CR4_LA57 | \
		   X86_CR4_VMXE | X86_CR4_SMEP | X86_CR4_UMIP)

/* One bit of DR7 is always set. */
#define DR7_NO_BREAKPOINT	0x400

/* The IDT of all guests, and the page that it is in. */
static struct page *idt_page;
static gate_desc *idt;

static u32 border_flags;
static u64 host_sysenter_cs;

/* The kernel's own accessors have changed names and types over time. */
static u64 read_msr(u32 msr)
{
	u32 low, high;

	asm volatile("rdmsr" : "=a" (low), "=d" (high) : "c" (msr));
	return (u64)high << 32 | low;
}

static void write_msr(u32 msr, u64 value)
{
	asm volatile("wrmsr" : : "c" (msr), "a" ((u32)value),
		     "d" ((u32)(value >> 32)) : "memory");
}

/* Who may come by an int instruction: the hypercall's is for ring 1. */
static u32 gate_dpl(u32 vector)
{
	switch (vector) {
	case X86_TRAP_BP:
	case X86_TRAP_OF:
	case LG_SYSCALL_VECTOR:
		return 3;
	case LG_HYPERCALL_VECTOR:
		return 1;
	default:
		return 0;
	}
}

static void fill_idt(gate_desc *gates)
{
	u32 vector;

	for (vector = 0; vector < LG_IDT_ENTRIES; vector++) {
		unsigned long stub = (unsigned long)lg_stubs +
				     vector * LG_STUB_SIZE;

		if (vector == LG_SYSCALL_VECTOR)
			stub = (unsigned long)lg_reflect_syscall;
		gates[vector] = (gate_desc) {
			.offset_low = stub,
			.offset_middle = stub >> 16,
			.offset_high = stub >> 32,
			.segment = __KERNEL_CS,
			.bits.type = GATE_INTERRUPT,
			.bits.dpl = gate_dpl(vector),
			.bits.p = 1,
			.bits.ist = vector == X86_TRAP_DF ? 1 : 0,
		};
	}
}

static u32 needed_flags(void)
{
	u32 flags = 0;

	/* What Linux does on its own way to user mode. */
	if (boot_cpu_has(X86_FEATURE_CLEAR_CPU_BUF))
		flags |= LG_CLEAR_BUFFERS;
	if (boot_cpu_has_bug(X86_BUG_SPECTRE_V2))
		flags |= LG_STUFF_RSB;
	if (lg_use_ibpb && boot_cpu_has(X86_FEATURE_IBPB))
		flags |= LG_IBPB;
	return flags;
}

int lg_switcher_init(void)
{
	border_flags = needed_flags();
	host_sysenter_cs = read_msr(MSR_IA32_SYSENTER_CS);

	idt_page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!idt_page)
		return -ENOMEM;
	fill_idt(page_address(idt_page));
	/* No guest reaches this address; read-only is for the host's sake. */
	idt = vmap(&idt_page, 1, VM_MAP, PAGE_KERNEL_RO);
	if (!idt) {
		__free_page(idt_page);
		return -ENOMEM;
	}
	return 0;
}

void lg_switcher_exit(void)
{
	vunmap(idt);
	__free_page(idt_page);
}

/* Hands out the pages that the Switcher needs above 4 GiB, and their rights. */
int lg_switcher_pages(struct lguest *lg,
		      int (*map)(struct lguest *lg, unsigned long vaddr,
				 u64 entry))
{
	u64 nx = __supported_pte_mask & _PAGE_NX;
	u64 readable = _PAGE_PRESENT | _PAGE_ACCESSED;
	unsigned long text;
	int err;

	err = map(lg, (unsigned long)lg->state, __pa(lg->state) | readable |
		  _PAGE_RW | _PAGE_DIRTY | nx);
	if (!err)
		err = map(lg, (unsigned long)idt, page_to_phys(idt_page) |
			  readable | nx);
	for (text = (unsigned long)lg_switcher_start;
	     !err && text < (unsigned long)lg_switcher_end; text += PAGE_SIZE)
		err = map(lg, text, (u64)vmalloc_to_pfn((void *)text) <<
			  PAGE_SHIFT | readable);
	return err;
}

static void set_table_pointer(struct lg_table_pointer *pointer,
			      const void *table, u32 size)
{
	pointer->ptr.address = (unsigned long)table;
	pointer->ptr.size = size - 1;
}

int lg_state_create(struct lguest *lg)
{
	struct lg_state *state;

	state = (struct lg_state *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!state)
		return -ENOMEM;
	lg->state = state;
	lg->state_cpu = -1;
	lg->dr6 = DR6_RESERVED;
	lg->fpu = kzalloc(sizeof(*lg->fpu), GFP_KERNEL_ACCOUNT);
	if (!lg->fpu)
		return -ENOMEM;
	lg->fpu->cwd = 0x37f;
	lg->fpu->mxcsr = MXCSR_DEFAULT;

	state->verw_selector = __KERNEL_DS;
	state->flags = border_flags;
	state->tss.sp[0] = (unsigned long)state + LG_REGS_END;
	state->tss.ist[0] = (unsigned long)state + LG_DF_STACK_TOP;
	state->tss.io_bitmap_base = sizeof(state->tss);
	set_table_pointer(&state->guest_gdtr, state->guest_gdt,
			  sizeof(state->guest_gdt));
	set_table_pointer(&state->guest_idtr, idt,
			  LG_IDT_ENTRIES * sizeof(gate_desc));
	set_table_pointer(&state->transition_gdtr, state->transition_gdt,
			  sizeof(state->transition_gdt));
	lg_segments_init(lg);
	return 0;
}

void lg_state_destroy(struct lguest *lg)
{
	kfree(lg->fpu);
	free_page((unsigned long)lg->state);
	lg->fpu = NULL;
	lg->state = NULL;
}

/* The FPU as i386 knows it: a guest has no wider registers than these. */
void lg_fpu_load(struct lguest *lg)
{
	kernel_fpu_begin();
	/* Some CPUs leave the last instruction's address behind. */
	if (boot_cpu_has_bug(X86_BUG_FXSAVE_LEAK))
		asm volatile("fnclex; emms; fildl %0" : : "m" (lg->fpu->cwd));
	asm volatile("fxrstor %0" : : "m" (*lg->fpu));
}

void lg_fpu_save(struct lguest *lg)
{
	asm volatile("fxsave %0" : "=m" (*lg->fpu));
	kernel_fpu_end();
}

/*
 * SYSENTER and SYSCALL of a 32-bit program would enter the host's kernel, on
 * the guest's page tables.  On some CPUs one of them is an invalid opcode by
 * itself, on none are both.
 */
static u64 shut_calls(void)
{
	u64 efer = read_msr(MSR_EFER);

	write_msr(MSR_IA32_SYSENTER_CS, 0);
	write_msr(MSR_EFER, efer & ~EFER_SCE);
	return efer;
}

static void open_calls(u64 efer)
{
	write_msr(MSR_EFER, efer);
	write_msr(MSR_IA32_SYSENTER_CS, host_sysenter_cs);
}

static void set_task_switched(void)
{
	asm volatile("mov %0, %%cr0" : : "r" (native_read_cr0() | X86_CR0_TS));
}

static void clear_task_switched(void)
{
	asm volatile("clts");
}

/* What is of this CPU, and stays when the guest comes back to it. */
static void adopt_cpu(struct lguest *lg, int cpu)
{
	struct lg_state *state = lg->state;
	struct desc_ptr gdt;

	native_store_gdt(&gdt);
	memcpy(state->transition_gdt, (void *)gdt.address,
	       min_t(size_t, sizeof(state->transition_gdt), gdt.size + 1));
	state->host_gs_base = read_msr(MSR_GS_BASE);
	lg->state_cpu = cpu;
}

struct host_segments {
	u16 ds;
	u16 es;
	u16 fs;
	u16 gs;
	unsigned long fs_base;
};

static void save_segments(struct host_segments *segments)
{
	savesegment(ds, segments->ds);
	savesegment(es, segments->es);
	savesegment(fs, segments->fs);
	savesegment(gs, segments->gs);
	if (cpu_feature_enabled(X86_FEATURE_FSGSBASE))
		segments->fs_base = rdfsbase();
	else
		segments->fs_base = read_msr(MSR_FS_BASE);
}

/* The Switcher has left null selectors, as a 64-bit launcher has them. */
static void restore_segments(const struct host_segments *segments)
{
	u64 user_gs_base;

	if (unlikely(segments->ds))
		loadsegment(ds, segments->ds);
	if (unlikely(segments->es))
		loadsegment(es, segments->es);
	if (unlikely(segments->fs))
		loadsegment(fs, segments->fs);
	if (unlikely(segments->gs)) {
		user_gs_base = read_msr(MSR_KERNEL_GS_BASE);
		load_gs_index(segments->gs);
		write_msr(MSR_KERNEL_GS_BASE, user_gs_base);
	}
	if (cpu_feature_enabled(X86_FEATURE_FSGSBASE))
		wrfsbase(segments->fs_base);
	else
		write_msr(MSR_FS_BASE, segments->fs_base);
}

/*
 * Into the guest and out again; returns the vector by which it left.
 * Interrupts are off.
 */
u32 lg_run_guest(struct lguest *lg, bool fpu_loaded)
{
	struct lg_state *state = lg->state;
	struct host_segments segments;
	unsigned long dr6, dr7 = 0;
	int cpu = smp_processor_id();
	bool fpu_off = !fpu_loaded || lg->task_switched;
	u32 vector;
	u64 efer;

	if (lg->state_cpu != cpu)
		adopt_cpu(lg, cpu);
	state->host_cr4 = native_read_cr4();
	state->host_cr3 = __native_read_cr3();
	if (state->host_cr4 & X86_CR4_PCIDE)
		state->host_cr3 |= X86_CR3_PCID_NOFLUSH;
	state->guest_cr4 = state->host_cr4 & GUEST_CR4;
	if (cpu_feature_enabled(X86_FEATURE_UMIP))
		state->guest_cr4 |= X86_CR4_UMIP;
	if (!lg->shadow.smep)
		state->guest_cr4 &= ~X86_CR4_SMEP;

	save_segments(&segments);
	if (hw_breakpoint_active()) {
		get_debugreg(dr7, 7);
		set_debugreg(DR7_NO_BREAKPOINT, 7);
	}
	if (fpu_off)
		set_task_switched();

	efer = shut_calls();

	vector = lg_switch(state);

	open_calls(efer);
	if (fpu_off)
		clear_task_switched();
	/* The guest's single step must not be taken for one of the host's. */
	if (vector == X86_TRAP_DB) {
		get_debugreg(dr6, 6);
		set_debugreg(DR6_RESERVED, 6);
		lg->dr6 = DR6_RESERVED | (dr6 & DR_STEP);
	}
	if (dr7)
		set_debugreg(dr7, 7);
	restore_segments(&segments);
	return vector;
}
