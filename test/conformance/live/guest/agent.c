// SPDX-License-Identifier: Apache-2.0
// First process of the guest, and its hands: serves requests from a serial line, in network namespaces with two taps,
// "cl" and "rs". What is written to a tap has been forwarded when write() returns, so answers carry the packets that
// came out. Requests and answers: a 32-bit length, then one byte of operation or status and a body; numbers are
// little-endian. The other end is line.ts.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { kMaxRequest = 4 << 20, kMaxWords = 64, kMaxFrame = 70000, kPiece = 2048, kTaps = 2 };
static const char* const tap_names[kTaps] = {"cl", "rs"};
static int taps[kTaps] = {-1, -1};

// ---- A byte string that grows; memory is never short in a guest of this size.

struct bytes {
  uint8_t* data;
  size_t size, room;
};

static void put(struct bytes* to, const void* data, size_t size) {
  if (to->size + size > to->room) {
    to->room = 2 * (to->size + size) + 4096;
    to->data = realloc(to->data, to->room);
    if (to->data == NULL) abort();
  }
  if (size > 0) memcpy(to->data + to->size, data, size);
  to->size += size;
}

static void put_number(struct bytes* to, uint32_t number) { put(to, &number, sizeof number); }

static void put_string(struct bytes* to, const void* data, size_t size) {
  put_number(to, (uint32_t)size);
  put(to, data, size);
}

// ---- What is left to read of a request.

struct reader {
  const uint8_t* at;
  const uint8_t* end;
};

static int take(struct reader* from, void* to, size_t size) {
  if ((size_t)(from->end - from->at) < size) return -1;
  memcpy(to, from->at, size);
  from->at += size;
  return 0;
}

// The string lies in the request: NULL if the request ends before it does.
static const uint8_t* take_string(struct reader* from, uint32_t* size) {
  if (take(from, size, sizeof *size) != 0 || (size_t)(from->end - from->at) < *size) return NULL;
  const uint8_t* string = from->at;
  from->at += *size;
  return string;
}

// ---- The serial line.

static int read_all(int file, void* to, size_t size) {
  for (uint8_t* at = to; size > 0;) {
    ssize_t count = read(file, at, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return -1;
    at += count;
    size -= (size_t)count;
  }
  return 0;
}

static int write_all(int file, const void* from, size_t size) {
  for (const uint8_t* at = from; size > 0;) {
    ssize_t count = write(file, at, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return -1;
    at += count;
    size -= (size_t)count;
  }
  return 0;
}

static int open_line(const char* path, int minor_number) {
  if (mknod(path, S_IFCHR | 0600, makedev(4, (unsigned)minor_number)) != 0 && errno != EEXIST) return -1;
  int line = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (line < 0) return -1;
  struct termios mode;
  if (tcgetattr(line, &mode) != 0) return -1;
  cfmakeraw(&mode);
  mode.c_cc[VMIN] = 1;
  mode.c_cc[VTIME] = 0;
  return tcsetattr(line, TCSANOW, &mode) == 0 ? line : -1;
}

// ---- Operations. Each returns 0 and fills the answer's body, or says what went wrong and returns -1.

static int fail(struct bytes* answer, const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  answer->size = 0;
  put(answer, text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
  return -1;
}

static int fail_with_errno(struct bytes* answer, const char* what) {
  return fail(answer, "%s: %s", what, strerror(errno));
}

static int open_tap(const char* name) {
  int tap = open("/run/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tap < 0) return -1;
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  if (ioctl(tap, TUNSETIFF, &request) == 0) return tap;
  close(tap);
  return -1;
}

// A network namespace without anything in it but lo and the taps; the one before is forgotten with all that it held.
static int new_world(struct bytes* answer) {
  for (int i = 0; i < kTaps; i++) {
    if (taps[i] >= 0) close(taps[i]);
    taps[i] = -1;
  }
  if (unshare(CLONE_NEWNET) != 0) return fail_with_errno(answer, "a new network namespace");
  for (int i = 0; i < kTaps; i++) {
    taps[i] = open_tap(tap_names[i]);
    if (taps[i] < 0) return fail_with_errno(answer, tap_names[i]);
  }
  return 0;
}

// Frames that came out: device, string.
static int drain(struct bytes* answer) {
  static uint8_t frame[kMaxFrame];
  for (int i = 0; i < kTaps; i++) {
    for (;;) {
      ssize_t size = read(taps[i], frame, sizeof frame);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0 && errno == EAGAIN) break;
      if (size < 0) return fail_with_errno(answer, tap_names[i]);
      uint8_t device = (uint8_t)i;
      put(answer, &device, 1);
      put_string(answer, frame, (size_t)size);
    }
  }
  return 0;
}

// Request: device, then one string a frame.
static int inject(struct reader* request, struct bytes* answer) {
  uint8_t device;
  if (take(request, &device, 1) != 0 || device >= kTaps) return fail(answer, "inject: no such device");
  while (request->at < request->end) {
    uint32_t size;
    const uint8_t* frame = take_string(request, &size);
    if (frame == NULL) return fail(answer, "inject: the request is cut off");
    if (write(taps[device], frame, size) != (ssize_t)size) return fail_with_errno(answer, "inject");
    if (drain(answer) != 0) return -1;
  }
  return 0;
}

// Request: milliseconds to wait first.
static int wait_and_drain(struct reader* request, struct bytes* answer) {
  uint32_t milliseconds;
  if (take(request, &milliseconds, sizeof milliseconds) != 0) return fail(answer, "wait: the request is cut off");
  struct timespec left = {.tv_sec = milliseconds / 1000, .tv_nsec = (long)(milliseconds % 1000) * 1000000};
  while (left.tv_sec + left.tv_nsec > 0 && nanosleep(&left, &left) != 0) {
    if (errno != EINTR) return fail_with_errno(answer, "wait");
  }
  return drain(answer);
}

static int take_path(struct reader* request, char* path, size_t room) {
  uint32_t size;
  const uint8_t* text = take_string(request, &size);
  if (text == NULL || size >= room) return -1;
  memcpy(path, text, size);
  path[size] = 0;
  return 0;
}

// Request: path, content.
static int write_file(struct reader* request, struct bytes* answer) {
  char path[256];
  uint32_t size;
  if (take_path(request, path, sizeof path) != 0) return fail(answer, "write: the path cannot be read");
  const uint8_t* content = take_string(request, &size);
  if (content == NULL) return fail(answer, "write: the request is cut off");
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return fail_with_errno(answer, path);
  ssize_t written = write(file, content, size);
  int error = errno;
  close(file);
  errno = error;
  return written == (ssize_t)size ? 0 : fail_with_errno(answer, path);
}

// Request: path of a kernel module. That it is there already is no mistake.
static int load_module(struct reader* request, struct bytes* answer) {
  char path[256];
  if (take_path(request, path, sizeof path) != 0) return fail(answer, "module: the path cannot be read");
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return fail_with_errno(answer, path);
  long result = syscall(SYS_finit_module, file, "", 0);
  int error = errno;
  close(file);
  errno = error;
  return result == 0 || error == EEXIST ? 0 : fail_with_errno(answer, path);
}

static void put_whole_file(struct bytes* answer, int file) {
  struct stat status;
  void* content = NULL;
  if (fstat(file, &status) == 0 && status.st_size > 0) {
    content = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, file, 0);
    if (content == MAP_FAILED) abort();
  }
  put_string(answer, content, content == NULL ? 0 : (size_t)status.st_size);
  if (content != NULL) munmap(content, (size_t)status.st_size);
}

static void become(char** words, const int files[3]) {
  for (int i = 0; i < 3; i++) dup2(files[i], i);
  execvp(words[0], words);
  dprintf(2, "%s: %s\n", words[0], strerror(errno));
  _exit(127);
}

static int read_words(struct reader* request, char* words[kMaxWords + 1]) {
  uint32_t count;
  if (take(request, &count, sizeof count) != 0 || count == 0 || count > kMaxWords) return -1;
  memset(words, 0, (kMaxWords + 1) * sizeof words[0]);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t size;
    const uint8_t* word = take_string(request, &size);
    if (word == NULL) return -1;
    words[i] = strndup((const char*)word, size);
  }
  return 0;
}

// Request: number of words, the words, standard input. Answer: exit status, standard output, standard error.
static int run(struct reader* request, struct bytes* answer) {
  char* words[kMaxWords + 1];
  uint32_t input_size;
  if (read_words(request, words) != 0) return fail(answer, "run: the command cannot be read");
  const uint8_t* input = take_string(request, &input_size);
  if (input == NULL) return fail(answer, "run: the request is cut off");
  int files[3];
  for (int i = 0; i < 3; i++) files[i] = memfd_create(words[0], MFD_CLOEXEC);
  if (files[2] < 0 || write_all(files[0], input, input_size) != 0) return fail_with_errno(answer, "run: files");
  lseek(files[0], 0, SEEK_SET);
  pid_t child = vfork();
  if (child == 0) become(words, files);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return fail_with_errno(answer, "run: fork");
  put_number(answer, WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 128u + (uint32_t)WTERMSIG(status));
  put_whole_file(answer, files[1]);
  put_whole_file(answer, files[2]);
  for (int i = 0; i < 3; i++) close(files[i]);
  for (char** word = words; *word != NULL; word++) free(*word);
  return 0;
}

static int perform(uint8_t operation, struct reader* request, struct bytes* answer) {
  switch (operation) {
    case 'N':
      return new_world(answer);
    case 'I':
      return inject(request, answer);
    case 'D':
      return wait_and_drain(request, answer);
    case 'W':
      return write_file(request, answer);
    case 'M':
      return load_module(request, answer);
    case 'R':
      return run(request, answer);
    default:
      return fail(answer, "operation %d is not known", operation);
  }
}

// Length, status, the guest's clock in microseconds, body.
static int send_answer(int line, uint8_t status, const struct bytes* body) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  uint64_t microseconds = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
  struct bytes whole = {0};
  put_number(&whole, (uint32_t)(1 + sizeof microseconds + body->size));
  put(&whole, &status, 1);
  put(&whole, &microseconds, sizeof microseconds);
  put(&whole, body->data, body->size);
  int result = write_all(line, whole.data, whole.size);
  free(whole.data);
  return result;
}

// The terminal's input buffer has 4096 bytes, and user-mode-linux may sleep forever when it has been full: a long
// request comes in pieces, and an answer with status 2 asks for the next one.
static int receive(int line, uint8_t* request, size_t size) {
  static const struct bytes nothing = {0};
  while (size > kPiece) {
    if (read_all(line, request, kPiece) != 0 || send_answer(line, 2, &nothing) != 0) return -1;
    request += kPiece;
    size -= kPiece;
  }
  return read_all(line, request, size);
}

// Until the line is closed at its other end. The first answer comes without a request: the agent is there.
static void serve(int line) {
  struct bytes answer = {0};
  if (send_answer(line, 0, &answer) != 0) return;
  uint32_t size;
  while (read_all(line, &size, sizeof size) == 0 && size >= 1 && size <= kMaxRequest) {
    uint8_t* request = malloc(size);
    if (request == NULL || receive(line, request, size) != 0) return;
    struct reader body = {.at = request + 1, .end = request + size};
    answer.size = 0;
    int result = perform(request[0], &body, &answer);
    free(request);
    if (send_answer(line, result == 0 ? 0 : 1, &answer) != 0) return;
  }
}

// ---- The first process.

static void say(const char* what) { dprintf(2, "agent: %s: %s\n", what, strerror(errno)); }

static void mount_kernel_files(void) {
  if (mount("proc", "/proc", "proc", 0, NULL) != 0) say("/proc");
  if (mount("sys", "/sys", "sysfs", 0, NULL) != 0) say("/sys");
  if (mount("run", "/run", "tmpfs", 0, NULL) != 0) say("/run");
  if (mknod("/run/tun", S_IFCHR | 0600, makedev(10, 200)) != 0) say("/run/tun");
}

int main(void) {
  setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
  setenv("LC_ALL", "C", 1);
  mount_kernel_files();
  int line = open_line("/run/ttyS0", 64);
  if (line < 0)
    say("/run/ttyS0");
  else
    serve(line);
  reboot(RB_POWER_OFF);
  return 0;
}
