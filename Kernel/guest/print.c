// SPDX-License-Identifier: GPL-2.0-only
/* Text for the user: by NOTIFY of a string until the virtio console is there, then through that. */
#include "guest.h"
#include "console.h"

static bool use_console;

void print_use_console(bool use)
{
	use_console = use;
}

void print(const char *form, ...)
{
	static char text[512];
	bool enabled = interrupts_off();
	va_list arguments;
	size_t length;

	va_start(arguments, form);
	length = format(text, sizeof(text), form, arguments);
	va_end(arguments);
	if (use_console)
		console_write(text, length);
	else
		hypercall(HCALL_NOTIFY, physical(text), 0, 0, 0);
	if (enabled)
		interrupts_on();
}
