/*
 * Preloaded into a broker, this shifts its wall clock by the seconds that the file CLOCK_SHIFT holds, and leaves its
 * other clocks alone.
 *
 * Each broker brings a libc of its own, older or newer than the one of this machine. So nothing is linked: what is needed
 * is found, whatever its version, in the libc that is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift(void)
{
	char text[32] = "";
	const char *path = getenv("CLOCK_SHIFT");
	int before = errno;
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if(fd >= 0) close(fd);
	errno = before;

	long seconds = 0;
	for(ssize_t i = text[0] == '-'; i < length && text[i] >= '0' && text[i] <= '9'; i++){
		seconds = seconds * 10 + (text[i] - '0');
	}
	return text[0] == '-' ? -seconds : seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = (int)syscall(SYS_clock_gettime, clock, now);
	if(result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += shift();
	return result;
}

time_t time(time_t *result)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if(result) *result = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict result, void *restrict zone)
{
	(void)zone;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	result->tv_sec = now.tv_sec;
	result->tv_usec = now.tv_nsec / 1000;
	return 0;
}
