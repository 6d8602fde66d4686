/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints: events/lguest in tracefs. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM lguest

#if !defined(LG_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define LG_TRACE_H

#include <linux/tracepoint.h>

TRACE_EVENT(lguest_exit,
	TP_PROTO(u32 vector, u32 eip, u32 error),
	TP_ARGS(vector, eip, error),
	TP_STRUCT__entry(
		__field(u32, vector)
		__field(u32, eip)
		__field(u32, error)
	),
	TP_fast_assign(
		__entry->vector = vector;
		__entry->eip = eip;
		__entry->error = error;
	),
	TP_printk("vector %#x eip %#x error %#x",
		  __entry->vector, __entry->eip, __entry->error)
);

TRACE_EVENT(lguest_hypercall,
	TP_PROTO(u32 number, const u32 *args),
	TP_ARGS(number, args),
	TP_STRUCT__entry(
		__field(u32, number)
		__array(u32, args, 4)
	),
	TP_fast_assign(
		__entry->number = number;
		memcpy(__entry->args, args, sizeof(__entry->args));
	),
	TP_printk("%u (%#x, %#x, %#x, %#x)", __entry->number,
		  __entry->args[0], __entry->args[1],
		  __entry->args[2], __entry->args[3])
);

TRACE_EVENT(lguest_page_fault,
	TP_PROTO(u64 address, u32 error, u32 eip, bool reflected),
	TP_ARGS(address, error, eip, reflected),
	TP_STRUCT__entry(
		__field(u64, address)
		__field(u32, error)
		__field(u32, eip)
		__field(bool, reflected)
	),
	TP_fast_assign(
		__entry->address = address;
		__entry->error = error;
		__entry->eip = eip;
		__entry->reflected = reflected;
	),
	TP_printk("address %#llx error %#x eip %#x %s", __entry->address,
		  __entry->error, __entry->eip,
		  __entry->reflected ? "reflected" : "filled")
);

TRACE_EVENT(lguest_inject,
	TP_PROTO(u32 vector, u32 eip, u32 cs),
	TP_ARGS(vector, eip, cs),
	TP_STRUCT__entry(
		__field(u32, vector)
		__field(u32, eip)
		__field(u32, cs)
	),
	TP_fast_assign(
		__entry->vector = vector;
		__entry->eip = eip;
		__entry->cs = cs;
	),
	TP_printk("vector %#x at %#x:%#x", __entry->vector, __entry->cs,
		  __entry->eip)
);

TRACE_EVENT(lguest_death,
	TP_PROTO(const char *reason),
	TP_ARGS(reason),
	TP_STRUCT__entry(__array(char, reason, 64)),
	TP_fast_assign(strscpy(__entry->reason, reason, 64);),
	TP_printk("%s", __entry->reason)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
