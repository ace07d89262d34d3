"""The system calls that a tool may make: one table, from which a profile is made for each architecture.

Pinned here, because without a profile of ours each engine takes its own, and older ones let
io_uring reach the kernel. The base is what Docker's own profile allows a container without
any capability (moby, profiles/seccomp, 2026); taken out are io_uring, ptrace and its kin, native
asynchronous I/O, old 32-bit calls, and all sockets but those of Unix and IP. User namespaces are
refused by clone's flags; clone3, whose flags a filter cannot see, does not exist (ENOSYS), so that
libraries fall back on clone (moby/moby#42681). What is not named is EPERM; calls that are newer
than this table runc answers with ENOSYS.
"""

from __future__ import annotations

import json
import platform
from functools import cache
from typing import Any

SECCOMP_FILE = "seccomp.json"
ENOSYS = 38
# Every CLONE_NEW… flag that clone takes.
NAMESPACES = 0x7E020000
SOCKETS = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
PERSONALITIES = (0x0, 0x8, 0xFFFFFFFF)
ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}

_ALLOWED = """
accept accept4 access alarm bind brk cachestat capget capset chdir chmod chown
clock_getres clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3
epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit
exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl
fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex
futex_requeue futex_wait futex_waitv futex_wake futimesat get_robust_list getcpu getcwd getdents getdents64
getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom
getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl ioprio_get ioprio_set kill
landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listxattr
llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack membarrier memfd_create mincore mkdir
mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2
pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6
pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages
removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask
rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget
semop semtimedop sendfile sendmmsg sendmsg sendto set_robust_list set_tid_address setfsgid setfsuid setgid
setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt
setuid setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socketpair splice stat
statfs statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill
truncate umask uname unlink unlinkat utime utimensat utimes vfork vmsplice wait4 waitid write writev
"""

OF_ARCHITECTURE = {"x86_64": ["arch_prctl"], "aarch64": ["sync_file_range2"]}


def profile(machine: str) -> dict[str, Any]:
    """The profile for `x86_64` or `aarch64`, as Docker takes it. Raises KeyError for another.

    No 32-bit architecture is named: their calls (socketcall) would pass the socket rules by.
    """
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": [ARCHITECTURES[machine]],
        "syscalls": [
            {"names": [*_ALLOWED.split(), *OF_ARCHITECTURE[machine]], "action": "SCMP_ACT_ALLOW"},
            *(_if_first("socket", number) for number in SOCKETS.values()),
            *(_if_first("personality", number) for number in PERSONALITIES),
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ALLOW",
                # MASKED_EQ: the mask is `value`, what must be left of the flags is `valueTwo`.
                "args": [{"index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
            },
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
        ],
    }


def _if_first(name: str, value: int) -> dict[str, Any]:
    """Allow a call if its first argument has this value."""
    return {
        "names": [name],
        "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}],
    }


@cache
def profile_text(machine: str = "") -> str:
    """The profile of this node as JSON text, as the API takes it (a path is the client's convenience)."""
    return json.dumps(profile(machine or platform.machine()), separators=(",", ":"))
