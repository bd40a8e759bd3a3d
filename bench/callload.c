/* SIP load for bench/proxy.py and bench/memory.py: caller and callee of whole calls through one proxy, UDP on loopback.
 *
 * usage: callload [-p HOST:PORT] [-c CALLER_PORT] [-e CALLEE_PORT] [-w WINDOW] [-s SECONDS] [-n CALLS] [-i US] [-u US] [-q RATE]
 *        [-x SEED] [-b URI] [-r] [-h] [-v]
 * One call is INVITE, (100,) 180, 200 with SDP, ACK, BYE, 200; ACK and BYE go to the top of the route set. WINDOW calls are
 * in progress at any time, until SECONDS have passed or CALLS were begun. -r registers bob at the proxy first. -h holds the
 * WINDOW calls and says how many are up: they stay until standard input ends. -i opens (and ends) WINDOW one by one, US us
 * apart. -u looks for datagrams every US us instead of waiting for each (the proxy then wakes nobody). -q begins RATE calls a
 * second at even distance, whatever becomes of them, with up to WINDOW in progress; with -x by chance (Poisson), always the same
 * with the same SEED. -b calls URI, as a user of its domain. -v tells each call that failed: "refused|lost SECONDS CALL-ID WHY",
 * WHY being the status, or what got no answer; SECONDS are those at which that was sent.
 * Nothing is retransmitted: a call that takes longer than 2 s is lost.
 * Prints "SECONDS completed refused lost copies" every second: running totals; copies are requests the proxy sent twice.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 4096, BATCH = 64, LINES = 16, MAX_WINDOW = 20000 };
enum state { IDLE, INVITED, HELD, ENDING };

static const int64_t LOST_NS = 2000000000LL, SECOND = 1000000000LL;

struct text { const char *at; int size; };
struct message {                /* the header lines that matter, whatever their order; values without name and CRLF */
    struct text start, from, to, call_id, cseq, contact, via[LINES], record_route[LINES];
    int vias, record_routes, status;
};
struct call { enum state state; uint32_t serial, invited, acknowledged, ended; int64_t since; }; /* serials the callee saw */

static struct call calls[MAX_WINDOW];
static struct sockaddr_in proxy;
static int caller_port = 5080, callee_port = 5070, caller, callee, window = 64, hold, held, interval_us, by_chance, verbose;
static long begun, limit = -1, completed, refused, lost, copies;
static uint32_t run, branches;
static double rate;
static int64_t start;
static char caller_uri[64];

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int udp(int port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    if (fd < 0 || bind(fd, (void *)&at, sizeof at))
        die("bind");
    return fd;
}

/* reading */

static struct text trimmed(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (struct text){ at, end - at };
}

static int is(struct text name, const char *full, char compact)
{
    return (name.size == 1 && (*name.at | 32) == compact)
        || (name.size == (int)strlen(full) && !strncasecmp(name.at, full, name.size));
}

static int parse(const char *data, int size, struct message *m)
{
    const char *end = data + size, *line = data;
    *m = (struct message){ 0 };
    for (int first = 1; line < end; first = 0) {
        const char *stop = memchr(line, '\n', end - line), *next = stop ? stop + 1 : end;
        if (!stop)
            stop = end;
        if (stop > line && stop[-1] == '\r')
            stop--;
        if (stop == line)
            break;
        if (first) {
            m->start = (struct text){ line, stop - line };
            if (m->start.size > 11 && !memcmp(line, "SIP/2.0 ", 8))
                m->status = atoi(line + 8);
        } else {
            const char *colon = memchr(line, ':', stop - line);
            if (colon) {
                struct text name = trimmed(line, colon), value = trimmed(colon + 1, stop);
                if (is(name, "Via", 'v') && m->vias < LINES)
                    m->via[m->vias++] = value;
                else if (is(name, "Record-Route", 0) && m->record_routes < LINES)
                    m->record_route[m->record_routes++] = value;
                else if (is(name, "From", 'f'))
                    m->from = value;
                else if (is(name, "To", 't'))
                    m->to = value;
                else if (is(name, "Call-ID", 'i'))
                    m->call_id = value;
                else if (is(name, "CSeq", 0))
                    m->cseq = value;
                else if (is(name, "Contact", 'm'))
                    m->contact = value;
            }
        }
        line = next;
    }
    return m->start.size && m->vias && m->from.size && m->to.size && m->call_id.size && m->cseq.size;
}

/* The call that a Call-ID names, if it is one of ours and of now. */
static struct call *call_of(struct text call_id)
{
    unsigned slot, serial, of_run;
    char copy[64];
    if (call_id.size >= (int)sizeof copy)
        return NULL;
    memcpy(copy, call_id.at, call_id.size);
    copy[call_id.size] = 0;
    if (sscanf(copy, "%u-%u-%u@", &slot, &serial, &of_run) != 3 || of_run != run || slot >= (unsigned)window)
        return NULL;
    return calls[slot].serial == serial ? &calls[slot] : NULL;
}

static int method_is(struct text cseq, const char *method)
{
    int size = strlen(method);
    return cseq.size > size && cseq.at[cseq.size - size - 1] == ' ' && !memcmp(cseq.at + cseq.size - size, method, size);
}

/* What is between < and >, or the value up to its parameters. */
static struct text uri_of(struct text value)
{
    const char *open = memchr(value.at, '<', value.size);
    const char *from = open ? open + 1 : value.at;
    int rest = value.size - (from - value.at);
    const char *close = memchr(from, open ? '>' : ';', rest);
    return (struct text){ from, close ? close - from : rest };
}

/* Where a sip: URI points, an IPv4 address; 5060 without a port. */
static struct sockaddr_in address_of(struct text uri)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(5060) };
    const char *end = uri.at + uri.size, *from = uri.at + (uri.size > 4 ? 4 : 0), *user = memchr(from, '@', end - from);
    char host[64];
    int size = 0;
    if (user)
        from = user + 1;
    while (from + size < end && size < 63 && from[size] != ':' && from[size] != ';' && from[size] != '?')
        size++;
    memcpy(host, from, size);
    host[size] = 0;
    if (from + size < end && from[size] == ':')
        at.sin_port = htons(atoi(from + size + 1));
    if (inet_pton(AF_INET, host, &at.sin_addr) != 1) {
        fprintf(stderr, "callload: no IPv4 address in %.*s\n", uri.size, uri.at);
        exit(1);
    }
    return at;
}

/* Values of comma lists, in order; commas inside <> and quotes belong to the value. */
static int split(const struct text *lines, int count, struct text *values)
{
    int found = 0;
    for (int i = 0; i < count; i++) {
        const char *begin = lines[i].at, *end = begin + lines[i].size;
        int angle = 0, quote = 0;
        for (const char *p = begin; p <= end; p++) {
            if (p < end && *p == '"')
                quote = !quote;
            else if (p < end && *p == '<' && !quote)
                angle = 1;
            else if (p < end && *p == '>' && !quote)
                angle = 0;
            else if ((p == end || (*p == ',' && !quote && !angle)) && found < LINES) {
                values[found++] = trimmed(begin, p);
                begin = p + 1;
            }
        }
    }
    return found;
}

/* writing */

struct out { char data[SIZE]; int size; };

static void add(struct out *out, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    out->size += vsnprintf(out->data + out->size, SIZE - out->size, format, list);
    va_end(list);
    if (out->size >= SIZE) {
        fprintf(stderr, "callload: a message is too long\n");
        exit(1);
    }
}

static void add_lines(struct out *out, const char *name, const struct text *values, int count)
{
    for (int i = 0; i < count; i++)
        add(out, "%s: %.*s\r\n", name, values[i].size, values[i].at);
}

static void add_body(struct out *out, const char *who, int port)
{
    char body[256];
    int size = snprintf(body, sizeof body, "v=0\r\no=%s 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                        "m=audio %d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n", who, port);
    add(out, "Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", size, body);
}

static void send_out(int fd, const struct out *out, const struct sockaddr_in *to)
{
    if (sendto(fd, out->data, out->size, 0, (void *)to, sizeof *to) < 0)
        die("sendto");
}

static void add_request(struct out *out, const char *method, struct text uri, const struct call *call, int branch)
{
    add(out, "%s %.*s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK%u.%u.%s\r\n", method, uri.size, uri.at,
        caller_port, run, branch, *method == 'I' || *method == 'A' ? "i" : "b");
    add(out, "Max-Forwards: 70\r\nFrom: <%s>;tag=%ua%u\r\nCall-ID: %u-%u-%u@127.0.0.1\r\n",
        caller_uri, run, call->serial, (unsigned)(call - calls), call->serial, run);
}

static const char CALLED[] = "sip:bob@example.com";
static struct text bob = { CALLED, sizeof CALLED - 1 };

static void begin(struct call *call)
{
    struct out out = { .size = 0 };
    if (limit >= 0 && begun >= limit) {
        call->state = IDLE;
        return;
    }
    begun++;
    *call = (struct call){ .state = INVITED, .serial = call->serial + 1, .since = now_ns() };
    add_request(&out, "INVITE", bob, call, ++branches);
    add(&out, "To: <%.*s>\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@127.0.0.1:%d>\r\n", bob.size, bob.at, caller_port);
    add_body(&out, "caller", 16000);
    send_out(caller, &out, &proxy);
}

static void tell(const char *what, const struct call *call, const char *why)
{
    if (verbose)
        printf("%s %.3f %u-%u-%u@127.0.0.1 %s\n", what, (call->since - start) / 1e9, (unsigned)(call - calls), call->serial, run,
               why);
}

/* A call has ended: another one begins, unless they begin by the clock. */
static void end(struct call *call)
{
    if (rate > 0)
        call->state = IDLE;
    else
        begin(call);
}

/* Those that ought to have begun by now, while there is room. */
static void begin_by_the_clock(int64_t passed)
{
    static int at;
    static double due;          /* when the next one begins, in seconds */
    for (int looked = 0; due < passed / 1e9 && looked < window; looked++, at = (at + 1) % window)
        if (calls[at].state == IDLE) {
            begin(&calls[at]);
            due += (by_chance ? -log(1.0 - drand48()) : 1.0) / rate;
        }
}

/* A request of the dialog that the 200 in m has made: to its remote target, along the record-route backwards. */
static void in_dialog(const char *method, int cseq, const struct call *call, const struct message *m)
{
    struct out out = { .size = 0 };
    struct text routes[LINES];
    int count = split(m->record_route, m->record_routes, routes);
    struct text target = m->contact.size ? uri_of(m->contact) : bob;
    add_request(&out, method, target, call, ++branches);
    for (int i = count - 1; i >= 0; i--)
        add(&out, "Route: %.*s\r\n", routes[i].size, routes[i].at);
    add(&out, "To: %.*s\r\nCSeq: %d %s\r\nContent-Length: 0\r\n\r\n", m->to.size, m->to.at, cseq, method);
    struct sockaddr_in next = address_of(count ? uri_of(routes[count - 1]) : target);
    send_out(caller, &out, &next);
}

/* The ACK to a refusal is of the INVITE's transaction: its Via, its request URI (RFC 3261 section 17.1.1.3). */
static void acknowledge_refusal(const struct message *m)
{
    struct out out = { .size = 0 };
    add(&out, "ACK %.*s SIP/2.0\r\nVia: %.*s\r\nMax-Forwards: 70\r\nFrom: %.*s\r\nTo: %.*s\r\nCall-ID: %.*s\r\n", bob.size,
        bob.at, m->via[0].size, m->via[0].at, m->from.size, m->from.at, m->to.size, m->to.at, m->call_id.size, m->call_id.at);
    add(&out, "CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n");
    send_out(caller, &out, &proxy);
}

/* A held call is ended by what its 200 said. */
static struct kept { char data[SIZE]; int size; } *kept;

static void hang_up(struct call *call, const struct message *m)
{
    call->state = ENDING;
    call->since = now_ns();
    in_dialog("BYE", 2, call, m);
}

static void tell_refused(const struct call *call, const struct message *m)
{
    char status[4];
    snprintf(status, sizeof status, "%d", m->status);
    refused++;
    tell("refused", call, status);
}

static void at_caller(const char *data, int size)
{
    struct message m;
    struct call *call;
    if (!parse(data, size, &m) || !m.status || !(call = call_of(m.call_id)))
        return;
    if (call->state == INVITED && method_is(m.cseq, "INVITE") && m.status >= 300) {
        acknowledge_refusal(&m);
        tell_refused(call, &m);
        end(call);
    } else if (call->state == INVITED && method_is(m.cseq, "INVITE") && m.status >= 200) {
        in_dialog("ACK", 1, call, &m);
        if (hold) {
            struct kept *keep = &kept[call - calls];
            memcpy(keep->data, data, keep->size = size);
            call->state = HELD;
            held++;
        } else {
            hang_up(call, &m);
        }
    } else if (call->state == ENDING && method_is(m.cseq, "BYE") && m.status >= 200) {
        if (m.status < 300 && call->acknowledged == call->serial)
            completed++;
        else
            tell_refused(call, &m);
        end(call);
    }
}

static struct text trimmed_at(struct text call_id)
{
    const char *at = memchr(call_id.at, '@', call_id.size);
    return (struct text){ call_id.at, at ? at - call_id.at : call_id.size };
}

static void answer(const struct message *m, const struct sockaddr_in *from, const char *status, int tag, int with_body)
{
    struct out out = { .size = 0 };
    add(&out, "SIP/2.0 %s\r\n", status);
    add_lines(&out, "Via", m->via, m->vias);
    add_lines(&out, "Record-Route", m->record_route, m->record_routes);
    add(&out, "From: %.*s\r\nTo: %.*s", m->from.size, m->from.at, m->to.size, m->to.at);
    if (tag)
        add(&out, ";tag=b%.*s", trimmed_at(m->call_id).size, m->call_id.at);
    add(&out, "\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\n", m->call_id.size, m->call_id.at, m->cseq.size, m->cseq.at);
    if (tag)
        add(&out, "Contact: <sip:bob@127.0.0.1:%d>\r\n", callee_port);
    if (with_body)
        add_body(&out, "bob", 26000);
    else
        add(&out, "Content-Length: 0\r\n\r\n");
    send_out(callee, &out, from);
}

static void count_copy(const struct call *call, uint32_t *seen)
{
    if (call && *seen == call->serial)
        copies++;
    else if (call)
        *seen = call->serial;
}

static void at_callee(const char *data, int size, const struct sockaddr_in *from)
{
    struct message m;
    struct call *call;
    if (!parse(data, size, &m) || m.status)
        return;
    call = call_of(m.call_id);
    if (method_is(m.cseq, "INVITE")) {
        count_copy(call, call ? &call->invited : NULL);
        answer(&m, from, "180 Ringing", 1, 0);
        answer(&m, from, "200 OK", 1, 1);
    } else if (method_is(m.cseq, "ACK")) {
        if (call)
            call->acknowledged = call->serial;
    } else {
        count_copy(call, call ? &call->ended : NULL);
        answer(&m, from, "200 OK", 0, 0);
    }
}

static int read_all(int fd)
{
    static char data[BATCH][SIZE];
    static struct sockaddr_in from[BATCH];
    static struct iovec vector[BATCH];
    static struct mmsghdr headers[BATCH];
    for (int i = 0; i < BATCH; i++) {
        vector[i] = (struct iovec){ data[i], SIZE };
        headers[i].msg_hdr = (struct msghdr){ .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &vector[i],
                                              .msg_iovlen = 1 };
    }
    int count = recvmmsg(fd, headers, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        if (fd == caller)
            at_caller(data[i], headers[i].msg_len);
        else
            at_callee(data[i], headers[i].msg_len, &from[i]);
    }
    return count;
}

static void register_bob(void)
{
    struct out out = { .size = 0 };
    struct message m = { 0 };
    struct pollfd ready = { .fd = callee, .events = POLLIN };
    char data[SIZE];
    int size;
    add(&out, "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK%ur\r\nMax-Forwards: 70\r\n"
        "From: <sip:bob@example.com>;tag=r%u\r\nTo: <sip:bob@example.com>\r\nCall-ID: r%u@127.0.0.1\r\nCSeq: 1 REGISTER\r\n"
        "Contact: <sip:bob@127.0.0.1:%d>\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n", callee_port, run, run, run,
        callee_port);
    send_out(callee, &out, &proxy);
    if (poll(&ready, 1, 5000) != 1 || (size = recv(callee, data, SIZE, 0)) < 0 || !parse(data, size, &m)
        || m.status != 200) {
        fprintf(stderr, "callload: bob could not register: %.*s\n", m.start.size, m.start.size ? m.start.at : "");
        exit(1);
    }
}

static void replace_lost(int64_t now)
{
    for (int i = 0; i < window; i++)
        if ((calls[i].state == INVITED || calls[i].state == ENDING) && now - calls[i].since > LOST_NS) {
            lost++;
            tell("lost", &calls[i], calls[i].state == INVITED ? "INVITE" : "BYE");
            end(&calls[i]);
        }
}

static void end_held(void)
{
    hold = 0;
    for (int i = 0; i < window; i++)
        if (calls[i].state == HELD) {
            struct message m;
            parse(kept[i].data, kept[i].size, &m);
            hang_up(&calls[i], &m);
            usleep(interval_us ? interval_us : 500);    /* a burst of them would overflow the proxy's socket */
            while (read_all(caller) > 0 || read_all(callee) > 0)
                ;
        }
}

static int all_idle(void)
{
    for (int i = 0; i < window; i++)
        if (calls[i].state != IDLE && calls[i].state != HELD)
            return 0;
    return 1;
}

static void report(void)
{
    printf("%.3f %ld %ld %ld %ld\n", (now_ns() - start) / 1e9, completed, refused, lost, copies);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int option, seconds = 10, with_register = 0, every_us = 0;
    char uri[64] = "sip:127.0.0.1:5060";
    while ((option = getopt(argc, argv, "p:c:e:w:s:n:i:u:q:x:b:rhv")) != -1)
        switch (option) {
        case 'p': snprintf(uri, sizeof uri, "sip:%s", optarg); break;
        case 'c': caller_port = atoi(optarg); break;
        case 'e': callee_port = atoi(optarg); break;
        case 'w': window = atoi(optarg); break;
        case 's': seconds = atoi(optarg); break;
        case 'n': limit = atol(optarg); break;
        case 'i': interval_us = atoi(optarg); break;
        case 'u': every_us = atoi(optarg); break;
        case 'q': rate = atof(optarg); break;
        case 'x': by_chance = 1; srand48(atol(optarg)); break;
        case 'b': bob = (struct text){ optarg, strlen(optarg) }; break;
        case 'r': with_register = 1; break;
        case 'h': hold = 1; break;
        case 'v': verbose = 1; break;
        default: window = 0;
        }
    if (window < 1 || window > MAX_WINDOW || seconds < 1 || optind != argc) {
        fprintf(stderr, "callload: see the head of callload.c\n");
        return 2;
    }
    proxy = address_of((struct text){ uri, strlen(uri) });
    if (bob.at == CALLED)
        snprintf(caller_uri, sizeof caller_uri, "sip:caller@127.0.0.1:%d", caller_port);
    else
        strcpy(caller_uri, "sip:caller@example.com");   /* one of the two has to be of the proxy's domain */
    caller = udp(caller_port);
    callee = udp(callee_port);
    run = (uint32_t)(time(NULL) ^ getpid() << 16);
    if (with_register)
        register_bob();
    if (hold) {
        limit = window;
        kept = calloc(window, sizeof *kept);
    }

    struct pollfd ready[3] = { { caller, POLLIN, 0 }, { callee, POLLIN, 0 }, { 0, POLLIN, 0 } };
    int64_t shown, swept, now;
    start = shown = swept = now = now_ns();
    int opened = rate > 0 ? window : 0, said = 0;
    while (!(limit >= 0 && opened == window && all_idle() && !hold) && (hold || now - start < seconds * SECOND)) {
        /* not all at once: 16 more in each round; of those to hold only some at a time are being set up */
        for (int i = 0; i < (interval_us ? 1 : 16) && opened < window && (!hold || opened - held - refused - lost < 64); i++)
            begin(&calls[opened++]);
        if (interval_us)
            usleep(interval_us);
        if (rate > 0)
            begin_by_the_clock(now_ns() - start);
        if (every_us)
            usleep(every_us);
        else
            poll(ready, hold ? 3 : 2, rate > 0 ? 1 : opened < window ? (interval_us ? 0 : 20) : 100);
        while (read_all(caller) == BATCH || read_all(callee) == BATCH)
            ;
        now = now_ns();
        if (now - swept > SECOND / 10) {
            swept = now;
            replace_lost(now);
        }
        if (hold && !said && opened == window && all_idle()) {
            said = printf("held %d\n", held);
            fflush(stdout);
        }
        if (hold && ready[2].revents) {
            end_held();
            start = shown = now;        /* SECONDS are for ending them */
        }
        if (now - shown >= SECOND) {
            shown += SECOND;
            if (!hold)
                report();
        }
    }
    if ((now - start) % SECOND > SECOND / 20 || limit >= 0)
        report();
    return 0;
}
