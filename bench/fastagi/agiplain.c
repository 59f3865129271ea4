/* agiplain - the straightforward FastAGI server in C: one process, epoll, non-blocking sockets,
 * no time-outs, no logging, no error handling worth the name. The physical limit to compare with.
 *
 * usage: agiplain PORT [MARK]     MARK: SO_RCVLOWAT of the listening socket (256, for example): one
 *                                 wake-up for the whole opening block instead of one for each piece
 *
 * gcc -O2 -Wall -o agiplain agiplain.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct session {
    int fd, len, step, kind;
    char in[4096], task[32];
} session;

static int ep, mark;

static void end(session *s) { close(s->fd); free(s); }

static void say(session *s, const char *text) {
    if (write(s->fd, text, strlen(text)) < 0) { /* gone: the next read says so */ }
}

/* The commands in turn: standard (0), mset (1), arg (2), pipe (3). 0: nothing more to say. */
static int next(session *s) {
    char out[512]; unsigned task = strtoul(s->task, 0, 10), phone = 100 + task % 50;
    int step = s->step++;
    if (s->kind >= 2) step++;   /* the task came with the block */
    if (step == 0) { say(s, "GET FULL VARIABLE \"${AUTODIAL_TASK}\"\n"); return 1; }
    if (s->kind) {
        if (step > 1) return 0;
        snprintf(out, sizeof out, "EXEC MSet \"AUTODIAL_DIAL=PJSIP/%u,CALLERID(name)=AUTODIAL %u,"
                 "AUTODIAL_TIMEOUT=25,AUTODIAL_TITLE=Call back: task %u\"\n", phone, task, task);
        say(s, out);
        if (s->kind == 3) shutdown(s->fd, SHUT_WR);
        return 1;
    }
    switch (step) {
    case 1: snprintf(out, sizeof out, "SET VARIABLE AUTODIAL_DIAL \"PJSIP/%u\"\n", phone); break;
    case 2: snprintf(out, sizeof out, "SET VARIABLE CALLERID(name) \"AUTODIAL %u\"\n", task); break;
    case 3: snprintf(out, sizeof out, "SET VARIABLE AUTODIAL_TIMEOUT \"25\"\n"); break;
    case 4: snprintf(out, sizeof out, "SET VARIABLE AUTODIAL_TITLE \"Call back: task %u\"\n", task); break;
    case 5: snprintf(out, sizeof out, "NOOP\n"); break;
    default: return 0;
    }
    say(s, out);
    return 1;
}

static void block(session *s) {
    char *p = strstr(s->in, "agi_network_script: "), *q;
    if (p) {
        p += 20;
        s->kind = !strncmp(p, "autodial-mset\n", 14) ? 1 : !strncmp(p, "autodial-arg\n", 13) ? 2
                : !strncmp(p, "autodial-pipe\n", 14) ? 3 : 0;
    }
    if ((p = strstr(s->in, "agi_arg_1: ")) && (q = strchr(p, '\n')) && q - p - 11 < 31)
        memcpy(s->task, p + 11, q - p - 11);
}

static void on_read(session *s) {
    ssize_t n = read(s->fd, s->in + s->len, sizeof s->in - 1 - s->len);
    if (n <= 0) { end(s); return; }
    if (mark && s->len == 0 && s->step == 0) {
        int one = 1; setsockopt(s->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
    }
    s->len += n; s->in[s->len] = 0;
    if (s->step == 0) {
        if (!strstr(s->in, "\n\n")) { if (s->len > 4000) end(s); return; }
        block(s); s->len = 0;
    } else {
        char *nl = memchr(s->in, '\n', s->len), *v;
        if (!nl) { if (s->len > 4000) end(s); return; }
        *nl = 0;
        if (s->step == 1 && s->kind < 2 && (v = strchr(s->in, '('))) {
            v++; size_t k = strcspn(v, ")"); if (k < sizeof s->task) memcpy(s->task, v, k);
        }
        s->len = 0;
    }
    if (!next(s)) end(s);
}

int main(int argc, char **argv) {
    struct rlimit rl = { 65536, 65536 }; setrlimit(RLIMIT_NOFILE, &rl); signal(SIGPIPE, SIG_IGN);
    mark = argc > 2 ? atoi(argv[2]) : 0;
    int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (mark) setsockopt(l, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (bind(l, (void *)&a, sizeof a) || listen(l, 4096)) { perror("listen"); return 1; }
    ep = epoll_create1(0);
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL }, evs[256];
    epoll_ctl(ep, EPOLL_CTL_ADD, l, &ev);
    puts("listening"); fflush(stdout);
    for (;;) {
        int n = epoll_wait(ep, evs, 256, -1);
        for (int i = 0; i < n; i++) {
            if (evs[i].data.ptr) { on_read(evs[i].data.ptr); continue; }
            int fd;
            while ((fd = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                session *s = malloc(sizeof *s);
                s->fd = fd; s->len = s->step = s->kind = 0; memset(s->task, 0, sizeof s->task);
                struct epoll_event e = { .events = EPOLLIN, .data.ptr = s };
                epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
            }
        }
    }
}
