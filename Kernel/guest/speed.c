// SPDX-License-Identifier: GPL-2.0-only
/*
 * A stop-watch for the ways between guest and host. Each line is the median of five rounds, in
 * nanoseconds for one of the thing; the loop around it is included. Or a bit of each, for ever.
 */
#include "bus.h"
#include "user.h"

#define ROUNDS 5
#define PAGES 1000
#define USER_PLACE 0x20000000
#define INTERRUPT_GATE_USER 0xee00
#define TRAP_GATE_USER 0xef00

extern const uint8_t syscall_entry[];

static pte_t *root;
static struct virtqueue idle;

static uint64_t hypercalls(uint32_t count)
{
	uint64_t start = cycles();

	while (count--)
		hypercall(HCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	return cycles() - start;
}

/* The entries are there already: the host finds them when a page is first touched. */
static uint64_t touches(uint32_t place, uint32_t count)
{
	uint64_t start;

	flush_all();
	root_use(root);
	start = cycles();
	for (uint32_t i = 0; i < count; i++)
		*(volatile uint32_t *)(place + i * PAGE_SIZE);
	start = cycles() - start;
	root_use(kernel_root);
	return start;
}

static uint64_t page_faults(uint32_t count)
{
	return touches(USER_PLACE, count);
}

/* Of these, the host maps several at each fault. */
static uint64_t kernel_pages(uint32_t count)
{
	return touches(PLAYGROUND, count);
}

static uint64_t system_calls(uint32_t count)
{
	uint64_t start = cycles();

	enter_user((uint32_t)user_syscalls, USER_STACK - 16, count);
	return cycles() - start;
}

static uint64_t reflected(uint32_t count)
{
	uint64_t took;

	root_use(root);
	took = system_calls(count);
	root_use(kernel_root);
	return took;
}

/* An interrupt gate has to turn interrupts off, which is the host's to do. */
static uint64_t through_the_host(uint32_t count)
{
	uint64_t took;

	gate(SYSCALL_VECTOR, syscall_entry, INTERRUPT_GATE_USER);
	took = reflected(count);
	gate(SYSCALL_VECTOR, syscall_entry, TRAP_GATE_USER);
	interrupts_on();
	return took;
}

/* An interrupt waits already when they are turned on, which tells the host. */
static uint64_t injections(uint32_t count)
{
	uint32_t blocked = lguest_data.blocked_interrupts;
	uint64_t took = 0;

	lguest_data.blocked_interrupts = ~(1u << TIMER_IRQ);
	hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t before = timer_ticks;
		uint64_t start;

		interrupts_off();
		lguest_data.irq_pending = 0;
		timer_arm(1);
		while (!lguest_data.irq_pending)
			hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
		start = cycles();
		interrupts_on();
		took += cycles() - start;
		if (timer_ticks == before)
			panic("the interrupt did not come");
	}
	lguest_data.blocked_interrupts = blocked;
	return took;
}

/* A queue with nothing in it: an eventfd is signalled, somebody wakes up and sleeps again. */
static uint64_t notifies(uint32_t count)
{
	uint64_t start = cycles();

	while (count--)
		hypercall(HCALL_NOTIFY, idle.address, 0, 0, 0);
	return cycles() - start;
}

static void sort(uint32_t *values)
{
	for (uint32_t i = 1; i < ROUNDS; i++)
		for (uint32_t j = i; j && values[j - 1] > values[j]; j--) {
			uint32_t other = values[j];

			values[j] = values[j - 1];
			values[j - 1] = other;
		}
}

static void measure(const char *name, uint64_t (*run)(uint32_t), uint32_t count)
{
	uint32_t nanoseconds[ROUNDS];

	run(count / 10 + 1);
	for (uint32_t i = 0; i < ROUNDS; i++)
		nanoseconds[i] =
			divide(divide(run(count) * 1000, cycles_per_millisecond) * 1000, count);
	sort(nanoseconds);
	print("figure %s %u ns\n", name, nanoseconds[ROUNDS / 2]);
}

static void prepare(void)
{
	uint32_t *page = page_alloc();

	root = user_space();
	for (uint32_t i = 0; i < PAGES; i++) {
		*pte_of(root, USER_PLACE + i * PAGE_SIZE) = physical(page) | PTE_KERNEL | PTE_USER;
		*pte_of(root, PLAYGROUND + i * PAGE_SIZE) = physical(page) | PTE_KERNEL;
	}
}

void mix(void)
{
	prepare();
	for (;;) {
		hypercalls(3);
		page_faults(5);
		reflected(50);
		through_the_host(3);
		injections(1);
	}
}

void speed(void)
{
	struct bus_device device;

	prepare();
	measure("hypercall", hypercalls, 5000);
	measure("page-fault-filled", page_faults, PAGES);
	measure("kernel-page-in-order", kernel_pages, PAGES);
	measure("int80-reflected", reflected, 100000);
	measure("int80-through-host", through_the_host, 3000);
	measure("interrupt-injected", injections, 500);
	if (bus_find(DEVICE_RNG, &device)) {
		bus_start(&device);
		bus_queue(&device, 0, &idle);
		bus_ready(&device);
		measure("notify-eventfd", notifies, 3000);
	}
	power_off();
}
