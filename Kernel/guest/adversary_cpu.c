// SPDX-License-Identifier: GPL-2.0-only
/* What ring 1 may not do: privileged instructions, descriptors that lead elsewhere, flags. */
#include "adversary.h"
#include "user.h"

struct instruction {
	const char *name;
	uint8_t bytes[12]; /* ends with ret where it does not trap */
};

#define RET 0xc3

/* Each must trap; eax, ecx and edx are what the code before left there. */
static const struct instruction instructions[] = {
	{ "hlt", { 0xf4, RET } },
	{ "mov cr0, eax", { 0x0f, 0x22, 0xc0, RET } },
	{ "mov cr3, eax", { 0x0f, 0x22, 0xd8, RET } },
	{ "mov cr4, eax", { 0x0f, 0x22, 0xe0, RET } },
	{ "mov eax, cr3", { 0x0f, 0x20, 0xd8, RET } },
	{ "mov eax, cr4", { 0x0f, 0x20, 0xe0, RET } },
	{ "mov dr7, eax", { 0x0f, 0x23, 0xf8, RET } },
	{ "clts", { 0x0f, 0x06, RET } },
	{ "lmsw ax", { 0x0f, 0x01, 0xf0, RET } },
	{ "invd", { 0x0f, 0x08, RET } },
	{ "wbinvd", { 0x0f, 0x09, RET } },
	{ "invlpg [esp]", { 0x0f, 0x01, 0x3c, 0x24, RET } },
	{ "lgdt [esp]", { 0x0f, 0x01, 0x14, 0x24, RET } },
	{ "lidt [esp]", { 0x0f, 0x01, 0x1c, 0x24, RET } },
	{ "lldt ax", { 0x0f, 0x00, 0xd0, RET } },
	{ "ltr ax", { 0x0f, 0x00, 0xd8, RET } },
	{ "rdmsr", { 0x0f, 0x32, RET } },
	{ "wrmsr", { 0x0f, 0x30, RET } },
	{ "swapgs", { 0x0f, 0x01, 0xf8, RET } },
	{ "sysexit", { 0x0f, 0x35, RET } },
	{ "sysret", { 0x0f, 0x07, RET } },
	{ "syscall", { 0x0f, 0x05, RET } },
	{ "sysenter", { 0x0f, 0x34, RET } },
	{ "xsetbv", { 0x0f, 0x01, 0xd1, RET } },
	{ "monitor", { 0x0f, 0x01, 0xc8, RET } },
	{ "vmrun", { 0x0f, 0x01, 0xd8, RET } },
	{ "sti", { 0xfb, RET } },
	{ "insb", { 0x6c, RET } },
	{ "outsb", { 0x6e, RET } },
	{ "ljmp the host's kernel code", { 0xea, 0, 0, 0, 0, 0x10, 0 } },
	{ "ljmp the host's user code", { 0xea, 0, 0, 0, 0, 0x33, 0 } },
	{ "ljmp the host's 32-bit code", { 0xea, 0, 0, 0, 0, 0x23, 0 } },
	{ "ljmp the TSS", { 0xea, 0, 0, 0, 0, 0x40, 0 } },
	{ "lcall the TSS", { 0x9a, 0, 0, 0, 0, 0x80, 0 } },
};

static void run_bytes(void *bytes)
{
	static uint8_t code[16];

	memcpy(code, bytes, 12);
	asm volatile("call *%0" : : "r"(code), "a"(0x1b), "c"(0x1b), "d"(0) : "memory");
}

static void privileged(void)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(instructions); i++) {
		const struct instruction *one = &instructions[i];

		if (!probe(run_bytes, (void *)one->bytes))
			broke_out(one->name);
		if (probe_result.vector != 13 && probe_result.vector != 6 &&
		    probe_result.vector != 11)
			panic("%s gives trap %u", one->name, probe_result.vector);
	}
}

static uint8_t any_int[] = { 0xb8, 1, 0, 0, 0, 0xcd, 0, RET }; /* mov $1, %eax; int */

/* Every vector by `int`: those that are no gate of the guest's give a general protection fault. */
static void ints(void)
{
	for (uint32_t vector = 0; vector < 256; vector++) {
		bool gate = vector == 3 || vector == 4 || vector == SYSCALL_VECTOR;

		any_int[6] = vector;
		if (vector == HYPERCALL_VECTOR)
			continue;
		if (!probe(run_at, any_int) || probe_result.vector != (gate ? vector : 13))
			panic("BROKE OUT: int %u gave trap %u", vector, probe_result.vector);
	}
}

#define EFLAGS_IOPL 0x03000
#define EFLAGS_VM 0x20000

struct far_pointer {
	uint32_t offset;
	uint16_t selector;
} __attribute__((packed));

static void far_jump(void *pointer)
{
	asm volatile("ljmp *%0" : : "m"(*(struct far_pointer *)pointer));
}

static void far_call(void *pointer)
{
	asm volatile("lcall *%0" : : "m"(*(struct far_pointer *)pointer));
}

static void load_data(void *pointer)
{
	asm volatile("movw %0, %%gs" : : "m"(((struct far_pointer *)pointer)->selector));
}

/* Runs in whatever segment the jump led to; 64-bit mode reads the bytes differently. */
asm(".text\n.balign 16\nlanding: movl $0, %eax\n\tud2\n");
extern uint8_t landing[];

struct evil_descriptor {
	const char *name;
	uint32_t low, high;
};

#define SEGMENT 20

static const struct evil_descriptor evil_descriptors[] = {
	{ "64-bit code of ring 0", 0x0000ffff, 0x00af9b00 },
	{ "64-bit code of ring 1", 0x0000ffff, 0x00afbb00 },
	{ "64-bit code of ring 3", 0x0000ffff, 0x00affb00 },
	{ "64-bit and 32-bit code at once", 0x0000ffff, 0x00efbb00 },
	{ "conforming 64-bit code", 0x0000ffff, 0x00af9f00 },
	{ "code of ring 0", 0x0000ffff, 0x00cf9b00 },
	{ "conforming code of ring 0", 0x0000ffff, 0x00cf9f00 },
	{ "a call gate of 64 bits", 0x00100000, 0x0000ec00 },
	{ "a call gate of 16 bits", 0x00100000, 0x0000e400 },
	{ "an interrupt gate", 0x00100000, 0x0000ee00 },
	{ "a task gate", 0x00400000, 0x0000e500 },
	{ "an available TSS", 0x00000067, 0x0000e900 },
	{ "a busy TSS", 0x00000067, 0x0000eb00 },
	{ "a local table", 0x0000ffff, 0x0000e200 },
	{ "a reserved type", 0x0000ffff, 0x0000e000 },
};

/* Who jumps there must trap, or still be at ring 1 or 3 in a 32-bit segment, where ud2 traps. */
static void descriptors(void)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(evil_descriptors); i++) {
		const struct evil_descriptor *one = &evil_descriptors[i];

		for (uint32_t rpl = 0; rpl < 4; rpl++) {
			struct far_pointer pointer = { (uint32_t)landing, SEGMENT << 3 | rpl };

			descriptor_load(SEGMENT, one->low, one->high);
			if (!probe(far_jump, &pointer) || !probe(far_call, &pointer))
				broke_out(one->name);
			probe(load_data, &pointer);
			asm volatile("movw %w0, %%gs" : : "r"(0));
		}
	}
}

/* Where the host's own descriptors and its TSS are. */
static void host_descriptors(void)
{
	static const uint8_t mine[] = { 0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 16, 17 };

	for (uint32_t i = 0; i < ARRAY_SIZE(mine); i++) {
		struct far_pointer pointer = { (uint32_t)landing, mine[i] << 3 | 1 };

		descriptor_load(mine[i], 0x0000ffff, 0x00cfbb00);
		descriptor_load(mine[i], 0x0000ffff, 0x00af9b00);
		if (!probe(far_jump, &pointer))
			broke_out("a descriptor of the host's");
	}
}

/* Its own code segment taken away from under it. */
static void code_gone(void)
{
	descriptor_load(KERNEL_CS >> 3, 0, 0);
	hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
}

static void data_gone(void)
{
	descriptor_load(KERNEL_DS >> 3, 0, 0);
	hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
}

static void breakpoint(void *argument)
{
	(void)argument;
	asm volatile("int3");
}

static uint32_t stack_pointer(void)
{
	uint32_t value;

	asm volatile("movl %%esp, %0" : "=r"(value));
	return value;
}

/* The stack segment is loaded again on each return: one of 16 bits, then one that is read-only. */
static void stack_16_bits(void)
{
	uint32_t before;

	descriptor_load(KERNEL_DS >> 3, 0x0000ffff, 0x008fb300);
	hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
	before = stack_pointer();
	if (!probe(breakpoint, NULL) || stack_pointer() != before)
		broke_out("a stack of 16 bits");
}

static void stack_read_only_segment(void)
{
	descriptor_load(KERNEL_DS >> 3, 0x0000ffff, 0x00cfb100);
	hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
}

/*
 * Selectors that the host has seen are left without their descriptor by this call. All four are
 * loaded, so nothing here may touch memory until ds is back.
 */
static uint32_t left_of(uint32_t selector, uint32_t call, uint32_t argument)
{
	bool on = interrupts_off();
	uint32_t left, zero = 0;

	asm volatile("movw %%si, %%es\n\tmovw %%si, %%fs\n\tmovw %%si, %%gs\n\tmovw %%si, %%ds\n\t"
		     "movl %2, %%eax\n\tint $0x1f\n\tmovl %%edi, %%eax\n\tint $0x1f\n\t"
		     "movl %%ds, %%eax\n\tmovl %%es, %%ecx\n\torl %%ecx, %%eax\n\t"
		     "movl %%fs, %%ecx\n\torl %%ecx, %%eax\n\t"
		     "movl %%gs, %%ecx\n\torl %%ecx, %%eax\n\t"
		     "pushl %%ss\n\tpopl %%ds\n\tpushl %%ss\n\tpopl %%es"
		     : "=&a"(left), "+c"(zero)
		     : "i"(HCALL_SEND_INTERRUPTS), "S"(selector), "D"(call), "b"(argument), "d"(0)
		     : "memory");
	if (on)
		interrupts_on();
	return left;
}

static void segments_dangling(void)
{
	static uint32_t tls[6] = { 0x0000ffff, 0x00cff300 };
	static const uint32_t none[6];

	for (uint32_t rpl = 0; rpl < 2; rpl++) {
		descriptor_load(SEGMENT, 0x0000ffff, 0x00cfb300);
		if (left_of(SEGMENT << 3 | rpl, HCALL_LOAD_GDT_ENTRY, SEGMENT))
			broke_out("a segment without a descriptor");
	}
	hypercall(HCALL_LOAD_TLS, physical(tls), 0, 0, 0);
	if (left_of(0x33, HCALL_LOAD_TLS, physical(none)))
		broke_out("a program's segment without a descriptor");
}

static void clear_flags(void)
{
	asm volatile("pushl $2\n\tpopfl" : : : "memory");
}

static uint32_t flags_seen;

static void flag_bits(void *argument)
{
	asm volatile("pushl %1\n\tpopfl\n\tpushfl\n\tpopl %0\n\tnop\n\tpushl $2\n\tpopfl"
		     : "=m"(flags_seen)
		     : "r"(argument)
		     : "memory");
}

/* popf with every flag on and off. Some of them trap; those that are not a guest's must not move. */
static void flags(void)
{
	for (uint32_t bit = 0; bit < 22; bit++) {
		flags_seen = 0;
		probe(flag_bits, (void *)(1 << bit | 2));
		if (flags_seen & (EFLAGS_IOPL | EFLAGS_VM))
			broke_out("a privileged flag");
		clear_flags();
		hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
		flag_bits((void *)2);
		if (flags_seen & (EFLAGS_IOPL | EFLAGS_VM))
			broke_out("a privileged flag after a hypercall");
	}
}

#define NT_TRIES 1000

static void set_nt(void)
{
	asm volatile("pushl $0x4002\n\tpopfl" : : : "memory");
}

static void nested_iret(void *argument)
{
	(void)argument;
	asm volatile("pushl $0x4002\n\tpopfl\n\tpushfl\n\tpushl %cs\n\tpushl $1f\n\tiret\n1:");
}

static void nested_breakpoint(void *argument)
{
	(void)argument;
	asm volatile("pushl $0x4002\n\tpopfl\n\tint3");
}

/* Out of the guest by an interrupt of the host, which comes when it likes. */
static void await_tick(void)
{
	uint32_t before = timer_ticks;

	timer_arm(100000);
	while (timer_ticks == before)
		set_nt();
}

/*
 * Nested tasks do not exist in long mode: iret with NT is a fault, the host's own too. So each way out
 * with NT set is tried: the host lives only if it does not keep it. Nor does it give it back, so an
 * iret before which an interrupt has come is an ordinary one.
 */
static void nested(void)
{
	uint32_t faults = 0;

	for (uint32_t i = 0; i < NT_TRIES; i++) {
		faults += probe(nested_iret, NULL) && probe_result.vector == 13;
		clear_flags();
	}
	if (!faults)
		broke_out("iret with NT");
	for (uint32_t i = 0; i < 100; i++) {
		set_nt();
		hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
		if (!probe(nested_breakpoint, NULL))
			broke_out("a breakpoint with NT");
		/* What is read next is not there. */
		flush_all();
		set_nt();
		read_word((void *)PAGE_OFFSET);
	}
	if (user_run(user_nested, 0) != 1)
		broke_out("a system call with NT");
	for (uint32_t i = 0; i < 20; i++)
		await_tick();
	clear_flags();
}

/* Return to the selectors that an i386 frame could name. */
static void bad_return(void *pointer)
{
	struct far_pointer *to = pointer;

	asm volatile("pushl $0x2b\n\tpushl $0\n\tpushl $2\n\tpushl %0\n\tpushl %1\n\tiret"
		     :
		     : "r"((uint32_t)to->selector), "r"(to->offset));
}

static void returns(void)
{
	static const uint16_t selectors[] = { 0,    3,	  0x08, 0x10, 0x13, 0x23, 0x33,
					      0x40, 0x43, 0x60, 0x7b, 0x84, 0xfff8 };

	for (uint32_t i = 0; i < ARRAY_SIZE(selectors); i++) {
		struct far_pointer pointer = { (uint32_t)landing, selectors[i] };

		if (!probe(bad_return, &pointer))
			broke_out("a return to the host");
	}
}

/* A step flag across mov ss and a trap, where CPUs hold the debug trap back. */
static void step_into(void *argument)
{
	(void)argument;
	asm volatile("movl %%ss, %%eax\n\tpushfl\n\torl $0x100, (%%esp)\n\tpopfl\n\t"
		     "movl %%eax, %%ss\n\tint3\n\tnop"
		     :
		     :
		     : "eax", "memory");
}

static void step_hypercall(void *argument)
{
	(void)argument;
	asm volatile("movl $19, %%eax\n\tmovl %%ss, %%ecx\n\tpushfl\n\torl $0x100, (%%esp)\n\t"
		     "popfl\n\tmovl %%ecx, %%ss\n\tint $0x1f\n\tnop\n\tnop"
		     :
		     :
		     : "eax", "ecx", "memory");
}

static bool is_ours(void)
{
	extern const uint8_t start[], image_end[];

	return probe_result.eip >= (uint32_t)start && probe_result.eip < (uint32_t)image_end;
}

static void steps(void)
{
	for (uint32_t i = 0; i < 50; i++) {
		if (!probe(step_into, NULL) ||
		    (probe_result.vector != 1 && probe_result.vector != 3) || !is_ours())
			broke_out("a step into a trap");
		if (!probe(step_hypercall, NULL) || probe_result.vector != 1 || !is_ours())
			broke_out("a step over a hypercall");
		clear_flags();
	}
}

const struct adversary_case cpu_cases[] = {
	{ "privileged", privileged },
	{ "ints", ints },
	{ "descriptors", descriptors },
	{ "host-descriptors", host_descriptors },
	{ "code-gone", code_gone },
	{ "data-gone", data_gone },
	{ "stack-16-bits", stack_16_bits },
	{ "stack-read-only-segment", stack_read_only_segment },
	{ "segments-dangling", segments_dangling },
	{ "flags", flags },
	{ "nested", nested },
	{ "returns", returns },
	{ "steps", steps },
	{ NULL, NULL },
};
