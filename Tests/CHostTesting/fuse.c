// SPDX-License-Identifier: Apache-2.0

#include "include/chosttesting.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

int chosttesting_mount_fuse_file(int device, const char *path)
{
	char options[96];

	snprintf(options, sizeof(options), "fd=%d,rootmode=100600,user_id=0,group_id=0", device);
	if (unshare(CLONE_NEWNS | CLONE_FS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("test", path, "fuse", MS_NOSUID | MS_NODEV, options))
		return errno;
	return 0;
}

int chosttesting_unmount(const char *path)
{
	return umount2(path, MNT_DETACH) ? errno : 0;
}
