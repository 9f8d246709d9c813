/* The broker's limit: takes messages from one queue and puts body and properties, as they came, on three others in turn.

   Raw AMQP 0-9-1 frames over one socket: no library, no parsing, nothing allocated on the way. Persistent as they came,
   mandatory, confirmed, and acknowledged after the confirm, all before it at once.

       cc -O2 hop.c -o hop
       hop PORT PREFETCH IN OUT OUT OUT        (127.0.0.1, guest; ends with the connection or by a signal)

   Bodies must fit into one frame (128 KiB). */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { METHOD = 1, HEADER = 2, BODY = 3, HEARTBEAT = 8, END = 0xCE };
enum { ROOM = 8 << 20, WINDOW = 65536 };
#define METHOD_ID(class, method) ((uint32_t)(class) << 16 | (method))

static uint8_t out[ROOM], in[ROOM];
static size_t out_from, out_to, in_to;
static int fd;

static void die(const char *why) { fprintf(stderr, "hop: %s\n", why); exit(1); }

/* ---- writing into the output buffer */

static void put(const void *bytes, size_t size) {
  if (out_to + size > ROOM) die("output buffer is full");
  memcpy(out + out_to, bytes, size);
  out_to += size;
}
static void put8(uint8_t value) { put(&value, 1); }
static void put16(uint16_t value) { value = htobe16(value); put(&value, 2); }
static void put32(uint32_t value) { value = htobe32(value); put(&value, 4); }
static void put64(uint64_t value) { value = htobe64(value); put(&value, 8); }
static void put_short(const char *text) { put8(strlen(text)); put(text, strlen(text)); }
static void put_long(const void *bytes, uint32_t size) { put32(size); put(bytes, size); }

static size_t begin(uint8_t kind, uint16_t channel) { /* a frame; returns where its size is to be written */
  put8(kind); put16(channel); put32(0);
  return out_to - 4;
}
static void end(size_t at) {
  uint32_t size = htobe32(out_to - at - 4);
  memcpy(out + at, &size, 4);
  put8(END);
}
static size_t method(uint16_t channel, uint16_t class, uint16_t id) {
  size_t at = begin(METHOD, channel);
  put16(class); put16(id);
  return at;
}

/* ---- the socket */

static void flush_out(void) {
  while (out_from < out_to) {
    ssize_t n = write(fd, out + out_from, out_to - out_from);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (n < 0) die("write failed");
    out_from += n;
  }
  if (out_from == out_to) out_from = out_to = 0;
}
static void fill_in(void) {
  struct pollfd wait = {fd, POLLIN | (out_to > out_from ? POLLOUT : 0), 0};
  if (poll(&wait, 1, -1) < 0 && errno != EINTR) die("poll failed");
  if (wait.revents & POLLOUT) flush_out();
  if (wait.revents & (POLLIN | POLLHUP | POLLERR)) {
    ssize_t n = read(fd, in + in_to, ROOM - in_to);
    if (n == 0) exit(0);
    if (n < 0 && errno != EAGAIN && errno != EINTR) die("read failed");
    if (n > 0) in_to += n;
  }
}
static uint32_t get32(const uint8_t *at) { uint32_t v; memcpy(&v, at, 4); return be32toh(v); }
static uint64_t get64(const uint8_t *at) { uint64_t v; memcpy(&v, at, 8); return be64toh(v); }
static size_t whole(size_t at) { /* size of the frame that begins there, 0 when it is not all here */
  if (in_to - at < 8) return 0;
  size_t size = (size_t)get32(in + at + 3) + 8;
  return in_to - at < size ? 0 : size;
}
static void drop(size_t count) { memmove(in, in + count, in_to - count); in_to -= count; }

static void await(uint32_t wanted) { /* the broker's answer while the connection is set up */
  flush_out();
  for (;;) {
    size_t size;
    while ((size = whole(0))) {
      uint32_t got = in[0] == METHOD ? get32(in + 7) : 0;
      if (got == METHOD_ID(10, 50) || got == METHOD_ID(20, 40)) die((char *)in + 14);
      drop(size);
      if (got == wanted) return;
    }
    fill_in();
  }
}

static void join(int port, int prefetch, const char *queue) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int yes = 1;
  size_t at;
  fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&address, sizeof address)) die("cannot connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  put("AMQP\0\0\x09\x01", 8);
  await(METHOD_ID(10, 10));
  at = method(0, 10, 11); put32(0); put_short("PLAIN"); put_long("\0guest\0guest", 12); put_short("en_US"); end(at);
  await(METHOD_ID(10, 30));
  at = method(0, 10, 31); put16(1); put32(131072); put16(0); end(at); /* no heartbeats */
  at = method(0, 10, 40); put_short("/"); put8(0); put8(0); end(at);
  await(METHOD_ID(10, 41));
  at = method(1, 20, 10); put8(0); end(at);
  await(METHOD_ID(20, 11));
  at = method(1, 85, 10); put8(0); end(at);
  await(METHOD_ID(85, 11));
  at = method(1, 60, 10); put32(0); put16(prefetch); put8(0); end(at);
  await(METHOD_ID(60, 11));
  at = method(1, 60, 20); put16(0); put_short(queue); put_short("hop"); put8(0); put32(0); end(at);
  await(METHOD_ID(60, 21));
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* ---- the hop */

static uint64_t published, confirmed, acknowledged; /* numbers on this channel; message n came under delivery tag n */
static uint8_t early[WINDOW];                       /* confirmed before those that went before */

static void confirm(uint64_t tag, int multiple) {
  if (multiple) { while (confirmed < tag) early[++confirmed % WINDOW] = 0; }
  else early[tag % WINDOW] = 1;
  while (confirmed < published && early[(confirmed + 1) % WINDOW]) early[++confirmed % WINDOW] = 0;
}
static void publish(const char *queue, const uint8_t *properties, size_t size, const uint8_t *body, size_t length) {
  size_t at = method(1, 60, 40); put16(0); put_short(""); put_short(queue); put8(1); end(at); /* mandatory */
  at = begin(HEADER, 1); put16(60); put16(0); put64(length); put(properties, size); end(at);
  at = begin(BODY, 1); put(body, length); end(at);
  published++;
}
static void take_frames(char **queues) {
  static uint8_t properties[65536];
  static size_t size;
  static int turn;
  size_t at = 0, frame;
  while ((frame = whole(at))) {
    const uint8_t *payload = in + at + 7;
    uint32_t id = in[at] == METHOD ? get32(payload) : 0;
    if (in[at] == HEADER) {
      size = frame - 8 - 12;
      if (size > sizeof properties) die("properties are too long");
      memcpy(properties, payload + 12, size);
    } else if (in[at] == BODY) {
      publish(queues[turn++ % 3], properties, size, payload, frame - 8);
    } else if (id == METHOD_ID(60, 80)) {
      confirm(get64(payload + 4), payload[12]);
    } else if (id == METHOD_ID(60, 120) || id == METHOD_ID(60, 50)) {
      die("the broker refused or returned a message");
    } else if (id == METHOD_ID(10, 50) || id == METHOD_ID(20, 40)) {
      die("the broker closed the channel");
    }
    at += frame;
  }
  drop(at);
}

int main(int count, char **arguments) {
  if (count != 7) die("PORT PREFETCH IN OUT OUT OUT");
  join(atoi(arguments[1]), atoi(arguments[2]), arguments[3]);
  for (;;) {
    take_frames(arguments + 4);
    if (confirmed > acknowledged) {
      size_t at = method(1, 60, 80); put64(confirmed); put8(1); end(at);
      acknowledged = confirmed;
    }
    flush_out();
    fill_in();
  }
}
