// SPDX-License-Identifier: Apache-2.0
#include "clinux.h"

#include <stdlib.h>
#include <sys/ioctl.h>

int clinux_posix_openpt(int flags) { return posix_openpt(flags); }

int clinux_grantpt(int fd) { return grantpt(fd); }

int clinux_unlockpt(int fd) { return unlockpt(fd); }

int clinux_ptsname_r(int fd, char *path, size_t size) { return ptsname_r(fd, path, size); }

int clinux_tiocgwinsz(int fd, unsigned short *columns, unsigned short *rows)
{
	struct winsize size = {0};
	int result = ioctl(fd, TIOCGWINSZ, &size);

	*columns = size.ws_col;
	*rows = size.ws_row;
	return result;
}

int clinux_tiocswinsz(int fd, unsigned short columns, unsigned short rows)
{
	return ioctl(fd, TIOCSWINSZ, &(struct winsize){.ws_row = rows, .ws_col = columns});
}
