/* The measured child: says when its first instruction ran, then waits for its end.
 *
 *   child ID FIFO                    report, then sleep
 *   child ID FIFO log BYTES GATE     report, wait until GATE (a FIFO) is opened for writing, write BYTES bytes of
 *                                    100-byte lines to standard output in writes of 64 KiB, then sleep
 *
 * A report is one record in FIFO: nanoseconds of CLOCK_MONOTONIC, pid, ID. It is smaller than PIPE_BUF, so that
 * records of many children never mix, and the FIFO is big enough that nobody has to read while a measure runs.
 * ID may be "w" and a number. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 100, BLOCK = 65536, LINES = BLOCK / 4 /* LINES * LINE is a multiple of BLOCK */ };

struct report {
    int64_t nanoseconds;
    int32_t pid;
    int32_t id;
};

static char text[LINES * LINE];

/* "00000017 000000000042 ------…\n": who, which line, padding. */
static void number(char *at, int digits, unsigned long long value)
{
    while (digits--) {
        at[digits] = (char)('0' + value % 10);
        value /= 10;
    }
}

static void write_lines(int id, unsigned long long bytes)
{
    unsigned long long line = 0;
    memset(text, '-', sizeof text);
    for (int i = 0; i < LINES; i++) {
        char *at = text + i * LINE;
        number(at, 8, (unsigned long long)id);
        at[8] = at[21] = ' ';
        at[LINE - 1] = '\n';
    }
    while (bytes) {
        for (int i = 0; i < LINES; i++)
            number(text + i * LINE + 9, 12, line++);
        for (size_t from = 0; from < sizeof text && bytes; ) {
            size_t want = bytes < BLOCK ? (size_t)bytes : BLOCK;
            ssize_t done = write(1, text + from, want);
            if (done < 0)
                _exit(3);
            from += (size_t)done;
            bytes -= (unsigned long long)done;
        }
    }
}

int main(int argc, char **argv)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (argc < 3)
        return 2;
    struct report report = {
        .nanoseconds = now.tv_sec * 1000000000LL + now.tv_nsec,
        .pid = getpid(),
        .id = atoi(argv[1] + (argv[1][0] == 'w')),
    };
    int fd = open(argv[2], O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, &report, sizeof report) != sizeof report)
        return 3;
    close(fd);
    if (argc == 6 && !strcmp(argv[3], "log")) {
        if (open(argv[5], O_RDONLY) < 0)
            return 3;
        write_lines(report.id, strtoull(argv[4], NULL, 10));
    }
    for (;;)
        pause();
}
