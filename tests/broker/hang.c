/*
 * Preloaded into a broker, this makes one file, HANG_FILE, behave like one on a disk or in a network that has gone: who
 * asks for its status or for its content waits, for as long as the file HANG says "stat" or "read". While that says
 * "grow", the file has more in it after each look at its content.
 *
 * Nothing is linked, as in clock_shift.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static bool is_to(const char *how)
{
	char text[8] = "";
	const char *path = getenv("HANG");
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
	if(fd < 0) return false;
	syscall(SYS_read, fd, text, sizeof(text) - 1);
	syscall(SYS_close, fd);
	return strncmp(text, how, strlen(how)) == 0;
}

static void wait_while(const char *how)
{
	int before = errno;
	struct timespec pause = {0, 10 * 1000 * 1000};
	while(is_to(how)) syscall(SYS_nanosleep, &pause, NULL);
	errno = before;
}

static bool is_the_file(const char *path)
{
	const char *file = getenv("HANG_FILE");
	return file && strcmp(path, file) == 0;
}

static bool leads_to_the_file(int fd)
{
	char link[64], path[4096];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof(path) - 1);
	if(length < 0) return false;
	path[length] = '\0';
	return is_the_file(path);
}

static void grow(void)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, getenv("HANG_FILE"), O_WRONLY | O_APPEND | O_CLOEXEC);
	if(fd < 0) return;
	syscall(SYS_write, fd, "# more\n", 7);
	syscall(SYS_close, fd);
}

ssize_t read(int fd, void *bytes, size_t count)
{
	if(leads_to_the_file(fd)){
		wait_while("read");
		if(is_to("grow")) grow();
	}
	return syscall(SYS_read, fd, bytes, count);
}

struct statx;

int statx(int folder, const char *restrict path, int flags, unsigned mask, struct statx *restrict found)
{
	if(path && (path[0] ? is_the_file(path) : leads_to_the_file(folder))) wait_while("stat");
	return (int)syscall(SYS_statx, folder, path, flags, mask, found);
}
