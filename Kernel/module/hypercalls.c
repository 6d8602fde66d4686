// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hypercalls: the number in EAX, arguments in EBX, ECX, EDX and ESI.  None has
 * a result.  What stands in the guest's ring is done before the one that has
 * trapped.
 */
#include <linux/mm.h>
#include <linux/nospec.h>

#include "lg.h"
#include "trace.h"

enum {
	HCALL_FLUSH_ASYNC	= 0,
	HCALL_LGUEST_INIT	= 1,
	HCALL_SHUTDOWN		= 2,
	HCALL_NEW_PGTABLE	= 4,
	HCALL_FLUSH_TLB		= 5,
	HCALL_LOAD_IDT_ENTRY	= 6,
	HCALL_SET_STACK		= 7,
	HCALL_TS		= 8,
	HCALL_SET_CLOCKEVENT	= 9,
	HCALL_HALT		= 10,
	HCALL_SET_PMD		= 13,
	HCALL_SET_PTE		= 14,
	HCALL_SET_PGD		= 15,
	HCALL_LOAD_TLS		= 16,
	HCALL_NOTIFY		= 17,
	HCALL_LOAD_GDT_ENTRY	= 18,
	HCALL_SEND_INTERRUPTS	= 19,
};

/* How many are counted, each for itself. */
#define CALL_NUMBERS		32

#define SHUTDOWN_RESTART	2
#define SHUTDOWN_TEXT_MAX	128

/*
 * The end of lguest_data, as 32-bit words.  Linux 2.6.31 has the address of
 * the first page tables before them; 3.2 has not, and begins one word earlier.
 */
#define DATA_TAIL		1376
#define DATA_TAIL_WORDS		5

static void shutdown(struct lguest *lg, u32 gpa, u32 reason)
{
	u64 end = (u64)lg->pfn_limit << PAGE_SHIFT;
	char text[SHUTDOWN_TEXT_MAX] = "";

	if (reason == SHUTDOWN_RESTART) {
		lg_kill(lg, "Restart");
		lg->restart = true;
		return;
	}
	if (gpa >= end ||
	    !lg_read_phys(lg, gpa, text, min_t(u64, end - gpa,
					       sizeof(text) - 1))) {
		lg_kill(lg, "bad read address %#x len %u", gpa,
			SHUTDOWN_TEXT_MAX);
		return;
	}
	text[sizeof(text) - 1] = '\0';
	lg_kill(lg, "CRASH: %s", text);
}

/*
 * The guest says where its lguest_data is, and what it has put there.  Of the
 * two layouts, that is the right one in which the system call vector is 0x80.
 */
static void init(struct lguest *lg, u32 gpa)
{
	u32 tail[DATA_TAIL_WORDS] = { 0 };
	bool with_pgdir = false;
	const u32 *word = tail;
	u32 length = sizeof(tail);

	/* 3.2's may end where memory does. */
	if (!lg_read_phys(lg, gpa + DATA_TAIL, tail, length))
		length -= sizeof(u32);
	if (!gpa || gpa > U32_MAX - DATA_TAIL - length ||
	    !lg_read_phys(lg, gpa, tail, sizeof(u32)) ||
	    !lg_read_phys(lg, gpa + DATA_TAIL, tail, length)) {
		lg_kill(lg, "bad guest page %#x", gpa >> PAGE_SHIFT);
		return;
	}
	if (tail[3] != LG_SYSCALL_VECTOR) {
		with_pgdir = true;
		word++;
	}
	if (word[3] != LG_SYSCALL_VECTOR) {
		lg_kill(lg, "bad syscall vector");
		return;
	}
	lg->data.words = lg_map_phys(lg, gpa, DATA_TAIL + length);
	if (!lg->data.words) {
		lg_kill(lg, "out of memory mapping lguest_data");
		return;
	}
	lg->data.noirq_start = word[0];
	lg->data.noirq_end = word[1];
	lg->ring.slots = lg->data.words + LG_RING_OFFSET;
	lg->ring.next = 0;

	lg_data_write(lg, LG_DATA_RESERVE_MEM, LG_RESERVED_TOP);
	lg_data_write(lg, LG_DATA_TSC_KHZ, lg_clock_tsc_khz());
	if (with_pgdir)
		lg_data_write(lg, DATA_TAIL, lg->tables.pgdir);
	lg_clock_write_time(lg);
	lg_shadow_share_kernel(lg, word[2]);
}

static void notify(struct lguest *lg, u32 address)
{
	if (lg_notify_send(lg, address)) {
		lg->counters.notifies++;
		return;
	}
	lg->counters.notify_reads++;
	lg->notify_address = address;
	lg->notify = true;
}

static void do_call(struct lguest *lg, const struct lg_call *call)
{
	const u32 *args = call->args;

	trace_lguest_hypercall(call->number, args);
	if (call->number < CALL_NUMBERS) {
		u32 index = array_index_nospec(call->number, CALL_NUMBERS);

		lg->counters.hypercalls_by_number[index]++;
	}

	if (!lg->data.words && call->number != HCALL_LGUEST_INIT) {
		lg_kill(lg, "hypercall %u before INIT", call->number);
		return;
	}

	switch (call->number) {
	case HCALL_FLUSH_ASYNC:
	case HCALL_SEND_INTERRUPTS:
		/* To have trapped is all that they are for. */
		break;
	case HCALL_LGUEST_INIT:
		if (lg->data.words)
			lg_kill(lg, "already have lguest_data");
		else
			init(lg, args[0]);
		break;
	case HCALL_SHUTDOWN:
		shutdown(lg, args[0], args[1]);
		break;
	case HCALL_NEW_PGTABLE:
		lg_paging_new_root(lg, args[0]);
		break;
	case HCALL_FLUSH_TLB:
		if (args[0])
			lg_shadow_flush_all(lg);
		else
			lg_shadow_flush_user(lg);
		break;
	case HCALL_LOAD_IDT_ENTRY:
		lg_load_idt_entry(lg, args[0], args[1], args[2]);
		break;
	case HCALL_SET_STACK:
		lg_set_stack(lg, args[0], args[1], args[2]);
		break;
	case HCALL_TS:
		lg->task_switched = args[0];
		break;
	case HCALL_SET_CLOCKEVENT:
		lg_clock_set(lg, args[0]);
		break;
	case HCALL_HALT:
		lg->halted = true;
		break;
	case HCALL_SET_PMD:
		lg_paging_set_pmd(lg, args[0], args[1]);
		break;
	case HCALL_SET_PTE:
		lg_paging_set_pte(lg, args[0], args[1], args[2]);
		break;
	case HCALL_SET_PGD:
		lg_paging_set_pgd(lg, args[0], args[1]);
		break;
	case HCALL_LOAD_TLS:
		lg_load_tls(lg, args[0]);
		break;
	case HCALL_NOTIFY:
		notify(lg, args[0]);
		break;
	case HCALL_LOAD_GDT_ENTRY:
		lg_load_gdt_entry(lg, args[0], args[1], args[2]);
		break;
	default:
		lg_kill(lg, "Bad hypercall %u", call->number);
		break;
	}
}

static bool do_ring_call(struct lguest *lg, const struct lg_call *call)
{
	lg->counters.ring_hypercalls++;
	do_call(lg, call);
	return !lg->dead && !lg->notify;
}

/*
 * A hypercall has trapped.  When one of the ring is a notify for the launcher,
 * the trapped one waits until the launcher comes back.
 */
void lg_do_hypercalls(struct lguest *lg)
{
	const struct lg_regs *regs = lg_regs(lg);
	struct lg_call call = {
		.number = regs->eax,
		.args = { regs->ebx, regs->ecx, regs->edx, regs->esi },
	};

	if (lg->data.words) {
		lg_ring_run(lg, &lg->ring, do_ring_call);
		if (lg->dead || lg->notify)
			return;
	}
	lg->hypercall = false;
	lg->counters.hypercalls++;
	do_call(lg, &call);
}
