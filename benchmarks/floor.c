/* The floor: the least that a supervisor on Linux can do. posix_spawn, epoll, signalfd, waitpid, nothing else.
 *
 *   floor N CHILD FIFO                                      keep N children running; TERM: stop all, in reverse order
 *   floor N CHILD FIFO DIR MAX_SIZE KEEP BYTES GATE HOW     the same, each child writes BYTES bytes to a pipe which is
 *                                                           captured in DIR/wN.log, rotated at MAX_SIZE at a line end;
 *                                                           HOW = copy (read, write) or splice
 *
 * It has no groups, no sessions, no sweep, no state and no errors: what a supervisor adds to its figures is the price
 * of what it promises. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BUFFER = 65536 };

extern char **environ;

struct child {
    pid_t pid;
    int pipe, file;
    long long size;
};

static struct child *children;
static int count, alive, keep, splicing;
static long long max_size;
static char *program, *fifo, *folder, *bytes, *gate;
static posix_spawnattr_t attributes;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void file_name(char *into, size_t size, int index, int generation)
{
    if (generation)
        snprintf(into, size, "%s/w%d.log.%d", folder, index, generation);
    else
        snprintf(into, size, "%s/w%d.log", folder, index);
}

static void open_file(int index)
{
    char name[512];
    file_name(name, sizeof name, index, 0);
    children[index].file = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (children[index].file < 0)
        die(name);
    children[index].size = lseek(children[index].file, 0, SEEK_END);
}

static void rotate(int index)
{
    char from[512], to[512];
    close(children[index].file);
    for (int generation = keep; generation > 0; generation--) {
        file_name(from, sizeof from, index, generation - 1);
        file_name(to, sizeof to, index, generation);
        rename(from, to);
    }
    open_file(index);
}

static void put(int index, const char *data, size_t size)
{
    while (size) {
        ssize_t done = write(children[index].file, data, size);
        if (done < 0)
            die("write");
        children[index].size += done;
        data += done;
        size -= (size_t)done;
    }
}

static void capture(int index)
{
    static char buffer[BUFFER];
    struct child *child = &children[index];
    if (splicing && child->size + BUFFER <= max_size) {
        ssize_t moved = splice(child->pipe, NULL, child->file, NULL, BUFFER, SPLICE_F_NONBLOCK);
        if (moved > 0)
            child->size += moved;
        return;
    }
    ssize_t got = read(child->pipe, buffer, sizeof buffer);
    if (got <= 0)
        return;
    if (child->size + got > max_size) {
        size_t fits = child->size < max_size ? (size_t)(max_size - child->size) : 0;
        char *end = memrchr(buffer, '\n', fits);
        size_t head = end ? (size_t)(end - buffer) + 1 : 0;
        put(index, buffer, head);
        rotate(index);
        put(index, buffer + head, (size_t)got - head);
    } else {
        put(index, buffer, (size_t)got);
    }
}

static void start(int index)
{
    char id[16];
    char *argv[] = {program, id, fifo, bytes ? "log" : NULL, bytes, gate, NULL};
    posix_spawn_file_actions_t actions, *use = NULL;
    int write_end = -1;
    snprintf(id, sizeof id, "w%d", index);
    if (bytes) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC))
            die("pipe2");
        children[index].pipe = ends[0];
        write_end = ends[1];
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, write_end, 1);
        use = &actions;
    }
    if (posix_spawn(&children[index].pid, program, use, &attributes, argv, environ))
        die(program);
    alive++;
    if (use) {
        posix_spawn_file_actions_destroy(use);
        close(write_end);
    }
}

int main(int argc, char **argv)
{
    sigset_t signals, none;
    struct epoll_event event = {.events = EPOLLIN}, ready[64];
    if (argc != 4 && argc != 10)
        return 2;
    count = atoi(argv[1]);
    program = argv[2];
    fifo = argv[3];
    if (argc == 10) {
        folder = argv[4];
        max_size = atoll(argv[5]);
        keep = atoi(argv[6]);
        bytes = argv[7];
        gate = argv[8];
        splicing = !strcmp(argv[9], "splice");
    }
    children = calloc((size_t)count, sizeof *children);
    sigemptyset(&none);
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int loop = epoll_create1(EPOLL_CLOEXEC);
    int signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    event.data.u32 = UINT32_MAX;
    epoll_ctl(loop, EPOLL_CTL_ADD, signal_fd, &event);
    for (int i = 0; i < count; i++) {
        start(i);
        if (bytes) {
            open_file(i);
            event.data.u32 = (uint32_t)i;
            epoll_ctl(loop, EPOLL_CTL_ADD, children[i].pipe, &event);
        }
    }
    for (int stopping = 0;;) {
        int number = epoll_wait(loop, ready, 64, -1);
        for (int i = 0; i < number; i++) {
            struct signalfd_siginfo info;
            if (ready[i].data.u32 != UINT32_MAX) {
                capture((int)ready[i].data.u32);
                continue;
            }
            while (read(signal_fd, &info, sizeof info) == sizeof info)
                if (info.ssi_signo == SIGTERM && !stopping) {
                    stopping = 1;
                    for (int j = count; j--;)
                        kill(children[j].pid, SIGTERM);
                }
            for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;) {
                alive--;
                for (int j = 0; j < count && !stopping && !bytes; j++)
                    if (children[j].pid == pid) {
                        start(j);
                        break;
                    }
            }
            if (stopping && !alive)
                return 0;
        }
    }
}
