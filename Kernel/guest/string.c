// SPDX-License-Identifier: GPL-2.0-only
/* Memory, strings, numbers and formatted text. */
#include "string.h"

void *memcpy(void *to, const void *from, size_t bytes)
{
	void *result = to;

	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return result;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	char *end = (char *)to + bytes;
	const char *last = (const char *)from + bytes;

	if ((uintptr_t)to - (uintptr_t)from >= bytes)
		return memcpy(to, from, bytes);
	while (bytes--)
		*--end = *--last;
	return to;
}

void *memset(void *to, int byte, size_t bytes)
{
	void *result = to;

	asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(byte) : "memory");
	return result;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const unsigned char *left = a, *right = b;

	for (; bytes; bytes--, left++, right++)
		if (*left != *right)
			return *left - *right;
	return 0;
}

size_t strlen(const char *text)
{
	size_t length = 0;

	while (text[length])
		length++;
	return length;
}

const char *after_prefix(const char *text, const char *prefix)
{
	while (*prefix)
		if (*text++ != *prefix++)
			return NULL;
	return text;
}

uint32_t number(const char *text)
{
	uint32_t value = 0, base = 10;

	if (text[0] == '0' && text[1] == 'x') {
		base = 16;
		text += 2;
	}
	for (;; text++) {
		uint32_t digit;

		if (*text >= '0' && *text <= '9')
			digit = *text - '0';
		else if (base == 16 && *text >= 'a' && *text <= 'f')
			digit = *text - 'a' + 10;
		else
			return value;
		value = value * base + digit;
	}
}

uint64_t divide(uint64_t dividend, uint32_t divisor)
{
	uint32_t high = dividend >> 32, low = dividend, rest = high % divisor;

	high /= divisor;
	asm("divl %2" : "+a"(low), "+d"(rest) : "r"(divisor));
	return (uint64_t)high << 32 | low;
}

struct output {
	char *at, *end;
};

static void put(struct output *output, char byte)
{
	if (output->at < output->end)
		*output->at++ = byte;
}

static void put_number(struct output *output, uint64_t value, uint32_t base, int width, char pad)
{
	char digits[24];
	int count = 0;

	do {
		uint64_t rest = divide(value, base);

		digits[count++] = "0123456789abcdef"[(uint32_t)(value - rest * base)];
		value = rest;
	} while (value);
	for (; width > count; width--)
		put(output, pad);
	while (count)
		put(output, digits[--count]);
}

size_t format(char *to, size_t size, const char *form, va_list arguments)
{
	struct output output = { to, to + size - 1 };

	for (; *form; form++) {
		const char *text;
		char pad = ' ';
		int width = 0;
		int32_t value;

		if (*form != '%') {
			put(&output, *form);
			continue;
		}
		if (*++form == '0')
			pad = *form++;
		while (*form >= '0' && *form <= '9')
			width = width * 10 + (*form++ - '0');
		switch (*form) {
		case 'd':
			value = va_arg(arguments, int32_t);
			if (value < 0)
				put(&output, '-');
			put_number(&output, value < 0 ? 0 - (uint32_t)value : (uint32_t)value, 10,
				   width, pad);
			break;
		case 'u':
			put_number(&output, va_arg(arguments, uint32_t), 10, width, pad);
			break;
		case 'U':
			put_number(&output, va_arg(arguments, uint64_t), 10, width, pad);
			break;
		case 'x':
			put_number(&output, va_arg(arguments, uint32_t), 16, width, pad);
			break;
		case 'c':
			put(&output, va_arg(arguments, int));
			break;
		case 's':
			for (text = va_arg(arguments, const char *); *text; text++, width--)
				put(&output, *text);
			for (; width > 0; width--)
				put(&output, ' ');
			break;
		default:
			put(&output, *form);
		}
	}
	*output.at = '\0';
	return output.at - to;
}
