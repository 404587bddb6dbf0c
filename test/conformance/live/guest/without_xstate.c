// SPDX-License-Identifier: Apache-2.0
// without_xstate COMMAND…: runs a command in which ptrace knows no extended processor state. User-mode-linux keeps that
// state in a buffer of fixed size, which the wide vector registers of newer processors overflow; told that there is no
// such thing (ENODEV) it falls back to the 512 bytes of FXSAVE.
#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name))
#define SKIP_UNLESS(value, instructions) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, instructions)
#define SKIP_IF(value, instructions) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, instructions, 0)
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, value)

static int hide_xstate(void) {
  struct sock_filter program[] = {
      FIELD(arch),
      SKIP_UNLESS(AUDIT_ARCH_X86_64, 8),
      FIELD(nr),
      SKIP_UNLESS(__NR_ptrace, 6),
      FIELD(args[0]),
      SKIP_IF(PTRACE_GETREGSET, 1),
      SKIP_UNLESS(PTRACE_SETREGSET, 3),
      FIELD(args[2]),
      SKIP_UNLESS(NT_X86_XSTATE, 1),
      ANSWER(SECCOMP_RET_ERRNO | ENODEV),
      ANSWER(SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {.len = sizeof(program) / sizeof(program[0]), .filter = program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

int main(int count, char** words) {
  if (count < 2) {
    fprintf(stderr, "usage: without_xstate COMMAND [ARGUMENT]...\n");
    return 2;
  }
  if (hide_xstate() != 0) {
    perror("without_xstate: seccomp");
    return 126;
  }
  execvp(words[1], words + 1);
  fprintf(stderr, "without_xstate: ");
  perror(words[1]);
  return 127;
}
