/* Moves the wall clock of one process: LD_PRELOAD this, and write seconds into $CLOCK_DIR/<part>, read every 0.1 s. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000LL
#define LOOK_EVERY_NS 100000000LL

static char path[512];
static long long offset, looked_at = -1;

static int read_text(const char *file, char *into, int size) {
  int fd = open(file, O_RDONLY), count = fd < 0 ? 0 : read(fd, into, size - 1);
  if (fd >= 0) close(fd);
  if (count < 0) count = 0;
  into[count] = 0;
  return count;
}

static const char *part(void) {
  static char line[4096];
  int count = read_text("/proc/self/cmdline", line, sizeof line);
  for (int i = 0; i < count; i++) if (!line[i]) line[i] = ' ';
  if (strstr(line, "valkey-server") || strstr(line, "redis-server")) return "redis";
  if (strstr(line, " worker")) return "worker";
  if (strstr(line, " beat")) return "beat";
  return "other";
}

static long long offset_ns(void) {
  struct timespec now;
  char text[64];
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  long long ns = now.tv_sec * NS + now.tv_nsec;
  if (looked_at >= 0 && ns - looked_at < LOOK_EVERY_NS) return offset;
  looked_at = ns;
  if (!path[0]) snprintf(path, sizeof path, "%s/%s", getenv("CLOCK_DIR") ? getenv("CLOCK_DIR") : "/nonexistent", part());
  if (read_text(path, text, sizeof text)) offset = (long long)(atof(text) * NS);
  return offset;
}

int clock_gettime(clockid_t id, struct timespec *ts) {
  int failed = syscall(SYS_clock_gettime, id, ts);
  if (failed || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)) return failed;
  long long ns = ts->tv_sec * NS + ts->tv_nsec + offset_ns();
  ts->tv_sec = ns / NS;
  ts->tv_nsec = ns % NS;
  return 0;
}

int gettimeofday(struct timeval *tv, void *zone) {
  struct timespec ts;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &ts);
  tv->tv_sec = ts.tv_sec;
  tv->tv_usec = ts.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *out) {
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  if (out) *out = ts.tv_sec;
  return ts.tv_sec;
}
