// SPDX-License-Identifier: GPL-2.0-only
/*
 * Traps and interrupts: what makes the CPU leave the guest, what of it the
 * guest handles by itself, and how that is put before it.
 */
#include <linux/mm.h>
#include <linux/nospec.h>
#include <asm/trapnr.h>

#include "descriptor.h"
#include "emulate.h"
#include "lg.h"
#include "trace.h"

/* SS, ESP, EFLAGS, CS and EIP of the caller. */
#define SYSCALL_FRAME_SIZE	20

/* No access of a guest has more bytes: FXSAVE. */
#define LG_LONGEST_ACCESS	512

/* So many faults at one place, and nothing between them: it never ends. */
#define SAME_FAULTS_MAX		64

void lg_load_idt_entry(struct lguest *lg, u32 vector, u32 low, u32 high)
{
	struct lg_gate gate = { .low = low, .high = high };

	if (vector >= LG_IDT_ENTRIES) {
		lg_kill(lg, "Setting idt entry %u", vector);
		return;
	}
	vector = array_index_nospec(vector, LG_IDT_ENTRIES);
	if (!lg_gate_settable(vector))
		return;
	if (lg_gate_present(&gate) && !lg_gate_type_ok(&gate)) {
		lg_kill(lg, "bad IDT type %u", (high >> 8) & 0x1f);
		return;
	}
	lg->idt[vector] = gate;
	lg_update_syscall(lg);
}

void lg_set_stack(struct lguest *lg, u32 ss, u32 esp, u32 pages)
{
	if ((ss & 3) != 1) {
		lg_kill(lg, "bad stack segment %u", ss);
		return;
	}
	if (pages < 1 || pages > 2) {
		lg_kill(lg, "bad stack pages %u", pages);
		return;
	}
	lg->kernel_ss = ss;
	lg->kernel_esp = esp;
	lg->stack_pages = pages;
	lg->shadow.pin_stack = true;
	lg_update_syscall(lg);
}

/*
 * Lets the Switcher pass on int 0x80 by itself if all it takes is a frame on a
 * flat stack and a jump: a trap gate to the guest's code segment.
 */
void lg_update_syscall(struct lguest *lg)
{
	const struct lg_gate *gate = &lg->idt[LG_SYSCALL_VECTOR];
	struct lg_state *state = lg->state;
	const u64 *gdt = state->guest_gdt;

	state->syscall_esp = 0;
	if (!lg_gate_present(gate) || lg_gate_is_interrupt(gate) ||
	    lg_gate_dpl(gate) != 3 || lg->kernel_esp < PAGE_SIZE ||
	    !lg_code_selector_ok(gdt, LG_GUEST_CS) ||
	    !lg_descriptor_flat(gdt[LG_GUEST_CS >> 3]) ||
	    !lg_stack_selector_ok(gdt, lg->kernel_ss, 1) ||
	    !lg_descriptor_flat(gdt[lg->kernel_ss >> 3]))
		return;
	state->syscall_frame.eip = lg_gate_offset(gate);
	state->syscall_frame.cs = LG_GUEST_CS;
	state->syscall_frame.esp = lg->kernel_esp - SYSCALL_FRAME_SIZE;
	state->syscall_frame.ss = lg->kernel_ss;
	state->syscall_esp = lg->kernel_esp;
}

static bool interrupts_enabled(struct lguest *lg)
{
	return lg->data.words &&
	       (lg_data_read(lg, LG_DATA_IRQ_ENABLED) & LG_EFLAGS_IF);
}

/*
 * Makes the guest go on in its handler for the vector; false if it has none.
 * A guest without a stack for the frame is dead, as a CPU would be.
 */
bool lg_reflect(struct lguest *lg, u32 vector, u32 error)
{
	const struct lg_gate *gate = &lg->idt[vector];
	struct lg_regs *regs = lg_regs(lg);
	struct lg_context context = {
		.ss = regs->ss,
		.esp = regs->esp,
		.eflags = regs->eflags,
		.cs = regs->cs,
		.eip = regs->eip,
	};
	struct lg_frame frame;

	if (!lg_gate_present(gate))
		return false;
	lg_frame_build(&frame, &context, lg->kernel_ss, lg->kernel_esp,
		       interrupts_enabled(lg),
		       lg_trap_has_error(vector) ? &error : NULL);
	if (!lg_paging_push(lg, frame.esp, frame.words, frame.count) &&
	    !lg_write_virt(lg, frame.esp, frame.words,
			   frame.count * sizeof(frame.words[0]))) {
		lg_kill(lg, "bad stack at %#x for trap %u", frame.esp, vector);
		return true;
	}
	regs->ss = frame.ss;
	regs->esp = frame.esp;
	regs->cs = LG_GUEST_CS;
	regs->eip = lg_gate_offset(gate);
	regs->eflags &= ~LG_EFLAGS_TF;
	if (lg_gate_is_interrupt(gate) && lg->data.words)
		lg_data_write(lg, LG_DATA_IRQ_ENABLED, 0);
	return true;
}

static unsigned long unblocked_irqs(struct lguest *lg)
{
	unsigned long irqs = READ_ONCE(lg->irqs);

	if (!irqs || !lg->data.words)
		return 0;
	return irqs & ~(unsigned long)lg_data_read(lg, LG_DATA_BLOCKED);
}

static bool in_kernel(struct lguest *lg)
{
	return (lg_regs(lg)->cs & 3) == 1;
}

/* In this range the guest is between popping its flags and its iret. */
static bool in_noirq_range(struct lguest *lg)
{
	u32 eip = lg_regs(lg)->eip;

	return in_kernel(lg) && eip >= lg->data.noirq_start &&
	       eip < lg->data.noirq_end;
}

/* Would lg_deliver_irq do something?  Never sleeps. */
bool lg_irq_ready(struct lguest *lg)
{
	unsigned long irqs = unblocked_irqs(lg);

	if (!irqs)
		return false;
	if (lg->halted)
		return true;
	if (in_noirq_range(lg) ||
	    !lg_gate_present(&lg->idt[LG_FIRST_IRQ_VECTOR + __ffs(irqs)]))
		return false;
	return interrupts_enabled(lg) ||
	       !(lg_data_read(lg, LG_DATA_IRQ_PENDING) & LG_EFLAGS_IF);
}

/* Delivers at most one virtual interrupt: the lowest that may come now. */
void lg_deliver_irq(struct lguest *lg)
{
	unsigned long irqs = unblocked_irqs(lg);
	u32 irq;

	if (!irqs) {
		/* The one that waited may be blocked now. */
		if (lg->data.words && lg_data_read(lg, LG_DATA_IRQ_PENDING))
			lg_data_write(lg, LG_DATA_IRQ_PENDING, 0);
		return;
	}
	if (lg->halted) {
		lg->halted = false;
		lg_data_write(lg, LG_DATA_IRQ_ENABLED, LG_EFLAGS_IF);
	}
	if (in_noirq_range(lg))
		return;
	irq = __ffs(irqs);
	if (!lg_gate_present(&lg->idt[LG_FIRST_IRQ_VECTOR + irq]))
		return;
	if (!interrupts_enabled(lg)) {
		/* The guest asks for it when it enables interrupts. */
		lg_data_write(lg, LG_DATA_IRQ_PENDING, LG_EFLAGS_IF);
		return;
	}
	trace_lguest_inject(LG_FIRST_IRQ_VECTOR + irq, lg_regs(lg)->eip,
			    lg_regs(lg)->cs);
	clear_bit(irq, &lg->irqs);
	lg->counters.injections++;
	lg_reflect(lg, LG_FIRST_IRQ_VECTOR + irq, 0);
	lg_clock_write_time(lg);
	lg_data_write(lg, LG_DATA_IRQ_PENDING,
		      unblocked_irqs(lg) ? LG_EFLAGS_IF : 0);
}

static void reflect_or_kill(struct lguest *lg, u32 vector, u32 error)
{
	struct lg_regs *regs = lg_regs(lg);

	lg->counters.traps_reflected++;
	if (!lg_reflect(lg, vector, error))
		lg_kill(lg, "unhandled trap %u at %#x (%#x)", vector,
			regs->eip, error);
}

/*
 * vmcall is how some guests make a hypercall; at their privilege it is another
 * trap.  It becomes the int that all the others make.
 */
static bool patch_hypercall(struct lguest *lg)
{
	u32 eip = lg_regs(lg)->eip;
	u8 insn[LG_INSN_MAX];

	if (!in_kernel(lg) || !lg_read_virt(lg, eip, insn, sizeof(insn)) ||
	    memcmp(insn, lg_insn_vmcall, sizeof(insn)))
		return false;
	return lg_patch_virt(lg, eip, lg_insn_hypercall,
			     sizeof(lg_insn_hypercall));
}

static bool emulate(struct lguest *lg)
{
	struct lg_regs *regs = lg_regs(lg);
	u32 *const gpr[8] = {
		&regs->eax, &regs->ecx, &regs->edx, &regs->ebx,
		&regs->esp, &regs->ebp, &regs->esi, &regs->edi,
	};
	u8 insn[LG_INSN_MAX];
	u32 length;

	if (!in_kernel(lg) || regs->error)
		return false;
	/* Its end may be the end of what is mapped. */
	for (length = LG_INSN_MAX; length; length--)
		if (lg_read_virt(lg, regs->eip, insn, length))
			break;
	length = lg_emulate(insn, length, gpr, lg->dr6);
	if (!length)
		return false;
	regs->eip += length;
	lg->counters.emulated++;
	return true;
}

/* A guest that faults at one place for ever has the host work for it. */
static bool makes_progress(struct lguest *lg, u64 cr2)
{
	u32 eip = lg_regs(lg)->eip;

	if (cr2 != lg->last_cr2 || eip != lg->last_eip) {
		lg->last_cr2 = cr2;
		lg->last_eip = eip;
		lg->same_faults = 0;
	}
	return ++lg->same_faults < SAME_FAULTS_MAX;
}

static void page_fault(struct lguest *lg)
{
	struct lg_regs *regs = lg_regs(lg);
	enum lg_walk_result result = LG_WALK_FAULT;
	u64 cr2 = lg->state->cr2;
	u32 error = regs->error;

	lg->counters.page_faults++;
	if (!makes_progress(lg, cr2)) {
		lg_kill(lg, "no progress at %#x (%#llx)", regs->eip, cr2);
		return;
	}
	/* No entry that is meant to be there has a reserved bit. */
	if (error & LG_ACCESS_RESERVED) {
		lg_kill(lg, "bad shadow entry for %#llx", cr2);
		return;
	}
	/*
	 * Beyond the reach of any access of the guest: the CPU's own writes to
	 * a buffer of a profiler of the host's.
	 */
	if (cr2 >= BIT_ULL(32) + LG_LONGEST_ACCESS)
		return;
	/*
	 * An access that began below 4 GiB: there the guest's own CPU would
	 * have gone round to 0.
	 */
	if (cr2 >> 32)
		error &= LG_ACCESS_WRITE | LG_ACCESS_USER;
	else
		result = lg_paging_fault(lg, cr2, regs->error, &error);
	trace_lguest_page_fault(cr2, regs->error, regs->eip,
				result == LG_WALK_FAULT);
	if (result != LG_WALK_FAULT)
		return;
	/*
	 * That the guest does with as it likes, and as often; unless the very
	 * handler faults where it begins.
	 */
	if (regs->eip != lg_gate_offset(&lg->idt[X86_TRAP_PF]))
		lg->same_faults = 0;

	/* Without no-execute a CPU does not tell a fetch from a read. */
	if (lg->tables.paging != LG_PAGING_PAE)
		error &= ~LG_ACCESS_FETCH;
	lg->counters.faults_reflected++;
	if (lg->data.words)
		lg_data_write(lg, LG_DATA_CR2, cr2);
	if (!lg_reflect(lg, X86_TRAP_PF, error))
		lg_kill(lg, "unhandled trap %u at %#x (%#llx)", X86_TRAP_PF,
			regs->eip, cr2);
}

static void system_call(struct lguest *lg)
{
	const struct lg_gate *gate = &lg->idt[LG_SYSCALL_VECTOR];
	struct lg_regs *regs = lg_regs(lg);

	lg->counters.syscalls_slow++;
	/* The Switcher could not write to the stack: let it the next time. */
	lg->shadow.pin_stack = true;
	if (lg_gate_present(gate) && lg_gate_dpl(gate) >= (regs->cs & 3)) {
		lg_reflect(lg, LG_SYSCALL_VECTOR, 0);
		return;
	}
	/* The CPU has gone past the int $0x80, and a fault comes before it. */
	regs->eip -= 2;
	reflect_or_kill(lg, X86_TRAP_GP, LG_SYSCALL_VECTOR * 8 + 2);
}

/* The guest has left by this vector, which is not one of the host's. */
void lg_handle_trap(struct lguest *lg, u32 vector)
{
	struct lg_regs *regs = lg_regs(lg);

	if (vector != X86_TRAP_PF)
		lg->same_faults = 0;
	/* Most exits are these; the gate lets nobody in from user mode. */
	if (likely(vector == LG_HYPERCALL_VECTOR)) {
		lg->hypercall = true;
		return;
	}

	switch (vector) {
	case X86_TRAP_PF:
		page_fault(lg);
		return;
	case LG_SYSCALL_VECTOR:
		system_call(lg);
		return;
	case X86_TRAP_NM:
		if (!lg->task_switched) {
			lg->fpu_wanted = true;
			return;
		}
		break;
	case X86_TRAP_UD:
		if (patch_hypercall(lg))
			return;
		break;
	case X86_TRAP_GP:
		if (patch_hypercall(lg) || emulate(lg))
			return;
		break;
	case X86_TRAP_DE:
	case X86_TRAP_DB:
	case X86_TRAP_BP:
	case X86_TRAP_OF:
	case X86_TRAP_BR:
	case X86_TRAP_TS:
	case X86_TRAP_NP:
	case X86_TRAP_SS:
	case X86_TRAP_MF:
	case X86_TRAP_AC:
	case X86_TRAP_XF:
		break;
	default:
		/* A double fault, or the Switcher's own: bad segments. */
		lg_kill(lg, "unhandled trap %u at %#x (%#x)", vector,
			regs->eip, regs->error);
		return;
	}
	reflect_or_kill(lg, vector, regs->error);
}
