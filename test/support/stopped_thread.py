# SPDX-License-Identifier: Apache-2.0
"""stopped_thread.py PID NAME: stops one thread of a process, by ptrace(2), until standard input ends. The others run on."""
import ctypes
import os
import sys

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None) != 0:
        sys.exit("ptrace: " + os.strerror(ctypes.get_errno()))


process, name = sys.argv[1:3]
tasks = f"/proc/{process}/task"
threads = {open(f"{tasks}/{at}/comm").read().strip(): int(at) for at in os.listdir(tasks)}
if name not in threads:
    sys.exit(f"process {process} has no thread {name}, but {', '.join(threads)}")
thread = threads[name]
ptrace(SEIZE, thread)
ptrace(INTERRUPT, thread)
os.waitpid(thread, WALL)
print("stopped", flush=True)
sys.stdin.read()
ptrace(DETACH, thread)
