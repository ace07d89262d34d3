"""What a sandbox container starts: it waits for a job, has it run, and tells what came of it.

    python3 -I -X utf8 /sparkweb/wait.py [data]

Standard library alone, for it runs in whatever Python the image has (3.8 or newer).

Two processes. This one, the keeper, is the container's first process: it reaps, cannot be
signalled from within, is not dumpable (so that nobody of its own user opens its descriptors
or its memory), and alone holds the attached stdin and stdout. The worker (worker.py) has its
interpreter up and runs the tool with pipes for its output.

From the agent: a frame of length (4 bytes), kind (1 byte) and payload. `J` is a job as JSON,
followed by `input_bytes` raw bytes for the tool's stdin; `C` cancels, its payload is a word.
To the agent: the job's nonce (16 bytes, zeros before there is one), kind, length, payload:
`R` ready, `1` and `2` output, `V` what came on descriptor 3, `A` an artifact's header and `D`
its bytes, `E` the end. Ends by itself when the agent goes.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import facts
import worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PR_SET_DUMPABLE = 4
HEADER = struct.Struct(">IB")
CHUNK_BYTES = 64 * 1024
PENDING_BYTES = 256 * 1024  # what waits for the agent; beyond it the tool waits
RESULT_BYTES = 1024 * 1024
JOB_BYTES = 1024 * 1024
LOOK_SECONDS = 0.25
LAST_WORDS_SECONDS = 1.0
ARTIFACTS = "/artifacts"
NO_NONCE = bytes(16)


class Gone(Exception):
    """The agent has closed its end."""


class Keeper:
    """The one who talks to the agent."""

    def __init__(self, flavour: str) -> None:
        self.flavour = flavour
        self.nonce = NO_NONCE
        self.pending: list[bytes] = []
        self.pending_bytes = 0
        self.received = b""
        self.child: int | None = None
        self.control: Any = None
        self.wake = -1
        self.statuses: dict[int, Any] = {}

    # ---- the agent ----

    def say(self, kind: str, payload: bytes) -> None:
        """Queue one frame."""
        frame = self.nonce + bytes([ord(kind)]) + struct.pack(">I", len(payload)) + payload
        self.pending.append(frame)
        self.pending_bytes += len(frame)

    def flush(self) -> None:
        """Write what the pipe takes now."""
        while self.pending:
            try:
                written = os.write(1, self.pending[0])
            except BlockingIOError:
                return
            except OSError:
                raise Gone from None
            self.pending_bytes -= written
            if written < len(self.pending[0]):
                self.pending[0] = self.pending[0][written:]
                return
            self.pending.pop(0)

    def flush_all(self) -> None:
        """Write everything, however long the agent takes."""
        while self.pending:
            self.flush()
            if self.pending:
                poller = select.poll()
                poller.register(1, select.POLLOUT)
                poller.poll(1000)

    def take(self) -> None:
        """Read what the agent has sent."""
        try:
            chunk = os.read(0, CHUNK_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            raise Gone
        self.received += chunk

    def frame(self) -> tuple[str, bytes] | None:
        """One whole frame of what was received, or None."""
        if len(self.received) < HEADER.size:
            return None
        length, kind = HEADER.unpack_from(self.received)
        if length > JOB_BYTES:
            raise Gone
        if len(self.received) < HEADER.size + length:
            return None
        payload = self.received[HEADER.size : HEADER.size + length]
        self.received = self.received[HEADER.size + length :]
        return chr(kind), payload

    # ---- the worker ----

    def worker_start(self, fresh: bool = False) -> dict[str, Any]:
        """Have a worker that is ready. The first is a fork; later ones begin anew, for we know nonces."""
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            ours.close()
            if fresh:
                theirs.set_inheritable(True)
                command = [sys.executable, "-I", "-X", "utf8", os.path.abspath(__file__)]
                os.execv(sys.executable, [*command, self.flavour, str(theirs.fileno())])
            worker.work(theirs, self.flavour)
        theirs.close()
        self.child, self.control = child, ours
        told: dict[str, Any] = json.loads(ours.recv(4096) or b"{}")
        return told

    def reap(self) -> None:
        """Take the status of every child that has ended."""
        while True:
            try:
                pid, status, usage = os.wait3(os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.child:
                self.statuses[pid] = (status, usage)

    def everybody_kill(self) -> None:
        """End all other processes of the container."""
        if os.getpid() != 1:
            return  # no container of its own: "all others" would be those of the machine
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return

    # ---- the life of a container ----

    def run(self) -> None:
        """Get ready, then one job; in a session one after the other."""
        os.set_blocking(0, False)
        os.set_blocking(1, False)
        imported = self.worker_start().get("imported", [])
        gc.freeze()
        # After the fork: the worker stays dumpable, or it could not open its own descriptors.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        wake, woken = os.pipe()
        for end in (wake, woken):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        self.wake = wake
        self.say("R", json.dumps({**facts.own(), "imported": imported}).encode())
        self.flush_all()
        while True:
            job = self.job_wait()
            self.nonce = bytes.fromhex(job["nonce"])
            Run(self, job).run()
            self.flush_all()
            self.nonce = NO_NONCE
            if not job.get("session"):
                return
            if self.child is None:
                self.control.close()
                self.worker_start(fresh=True)

    def job_wait(self) -> dict[str, Any]:
        """The next job; other frames are too late and mean nothing."""
        poller = select.poll()
        poller.register(0, select.POLLIN)
        poller.register(self.wake, select.POLLIN)
        while True:
            while True:
                found = self.frame()
                if found is None:
                    break
                if found[0] == "J":
                    job: dict[str, Any] = json.loads(found[1])
                    return job
            for descriptor, _ in poller.poll():
                if descriptor == self.wake:
                    self.woken()
                else:
                    self.take()
            if self.child in self.statuses:
                raise Gone  # a worker that dies before it has work

    def woken(self) -> None:
        try:
            os.read(self.wake, 512)
        except BlockingIOError:
            pass
        self.reap()


class Run:
    """One job from its arguments to its end."""

    def __init__(self, keeper: Keeper, job: dict[str, Any]) -> None:
        self.keeper = keeper
        self.job = job
        self.began = time.monotonic()
        self.before = facts.counters()
        self.ended: str | None = None  # why we ended it: wall, cpu, or the agent's word
        self.ended_at = 0.0
        self.done: dict[str, Any] | None = None  # the session worker's word: {"code": …}
        self.control_open = True
        self.input_left: int = job["input_bytes"]
        self.input = b""
        self.result = b""

    def run(self) -> None:
        """Have the worker run it, pass on what it says, tell the end."""
        keeper = self.keeper
        in_read, in_write = os.pipe()
        self.in_write: int | None = in_write
        self.outputs: dict[int, str] = {}
        theirs = [in_read]
        for kind in ("1", "2", "V"):
            read, write = os.pipe()
            os.set_blocking(read, False)
            self.outputs[read] = kind
            theirs.append(write)
        os.set_blocking(in_write, False)
        message = json.dumps({key: self.job.get(key) for key in worker.JOB_KEYS}).encode()
        try:
            socket.send_fds(keeper.control, [message], theirs)
        except OSError:
            pass  # it has died; its status says so
        for descriptor in theirs:
            os.close(descriptor)
        self.deadline = self.began + self.job["timeout_seconds"]
        self.pump()
        self.drain()
        self.artifacts_send()
        self.end_tell()

    def pump(self) -> None:
        """Move bytes both ways until the tool has ended."""
        keeper = self.keeper
        next_look = self.began + LOOK_SECONDS
        while not self.is_over():
            left = LOOK_SECONDS if self.ended else self.deadline - time.monotonic()
            self.step(min(LOOK_SECONDS, max(0.0, left)))
            now = time.monotonic()
            if self.ended is None and now >= self.deadline:
                self.end("wall")
            elif self.ended is None and now >= next_look:
                next_look = now + LOOK_SECONDS
                if facts.cpu_ms() - self.before["cpu_ms"] > self.job["cpu_seconds"] * 1000:
                    self.end("cpu")
            elif self.ended and now > self.ended_at + LAST_WORDS_SECONDS:
                keeper.everybody_kill()

    def is_over(self) -> bool:
        return self.done is not None or self.keeper.child in self.keeper.statuses

    def end(self, why: str) -> None:
        self.ended, self.ended_at = why, time.monotonic()
        self.keeper.everybody_kill()

    def step(self, seconds: float) -> None:
        """Wait for one thing to happen and deal with it."""
        keeper = self.keeper
        poller = select.poll()
        if len(keeper.received) < CHUNK_BYTES:
            poller.register(0, select.POLLIN)
        poller.register(keeper.wake, select.POLLIN)
        if self.control_open:
            poller.register(keeper.control, select.POLLIN)
        if self.in_write is not None and (self.input or keeper.received or not self.input_left):
            poller.register(self.in_write, select.POLLOUT)
        if keeper.pending:
            poller.register(1, select.POLLOUT)
        if keeper.pending_bytes < PENDING_BYTES:
            for descriptor in self.outputs:
                poller.register(descriptor, select.POLLIN)
        for descriptor, event in poller.poll(int(seconds * 1000) + 1):
            self.handle(descriptor, event)
        keeper.flush()

    def handle(self, descriptor: int, event: int) -> None:
        keeper = self.keeper
        if descriptor == keeper.wake:
            keeper.woken()
        elif descriptor == 0:
            keeper.take()
            self.words_heed()
        elif descriptor == self.in_write:
            self.input_feed()
        elif descriptor in self.outputs:
            self.output_read(descriptor)
        elif self.control_open and descriptor == keeper.control.fileno():
            told = keeper.control.recv(4096)
            if told:
                self.done = _done(told)
            else:
                self.control_open = False  # it became another program, or has ended: its status will say
        elif descriptor == 1 and event & (select.POLLERR | select.POLLHUP):
            raise Gone

    def words_heed(self) -> None:
        """Frames of the agent once all input is here."""
        if self.input_left:
            return
        while True:
            found = self.keeper.frame()
            if found is None:
                return
            if found[0] == "C" and self.ended is None:
                self.end(found[1].decode(errors="replace") or "cancelled")

    def input_feed(self) -> None:
        keeper = self.keeper
        if len(self.input) < CHUNK_BYTES and self.input_left and keeper.received:
            piece = keeper.received[: self.input_left]
            keeper.received = keeper.received[len(piece) :]
            self.input_left -= len(piece)
            self.input += piece
        try:
            while self.input and self.in_write is not None:
                self.input = self.input[os.write(self.in_write, self.input[:CHUNK_BYTES]) :]
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            self.input = b""  # a tool that does not read its arguments
            self.input_skip()
        if not self.input_left and self.in_write is not None:
            os.close(self.in_write)
            self.in_write = None
            self.words_heed()

    def input_skip(self) -> None:
        """Take off the line what nobody reads, or the next frame would not be found."""
        keeper = self.keeper
        while self.input_left:
            piece = keeper.received[: self.input_left]
            keeper.received = keeper.received[len(piece) :]
            self.input_left -= len(piece)
            if self.input_left:
                poller = select.poll()
                poller.register(0, select.POLLIN)
                poller.poll(1000)
                keeper.take()

    def output_read(self, descriptor: int) -> bool:
        """Pass on one chunk; False when nothing was there."""
        try:
            chunk = os.read(descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return False
        kind = self.outputs[descriptor]
        if not chunk:
            os.close(descriptor)
            del self.outputs[descriptor]
        elif kind == "V":
            self.result = (self.result + chunk)[: RESULT_BYTES + 1]
        else:
            self.keeper.say(kind, chunk)
        return bool(chunk)

    def drain(self) -> None:
        """Take what is in the pipes. Nobody writes any more, but for what a session left running."""
        keeper = self.keeper
        if self.in_write is not None:
            os.close(self.in_write)
            self.input_skip()
        if not self.job.get("session") or self.ended:
            keeper.everybody_kill()
            keeper.reap()
        for descriptor in list(self.outputs):
            while descriptor in self.outputs and self.output_read(descriptor):
                if keeper.pending_bytes > PENDING_BYTES:
                    keeper.flush_all()
        for descriptor in self.outputs:
            os.close(descriptor)

    def artifacts_send(self) -> None:
        """Hand out the regular files of /artifacts, no links, no devices, bounded in count and bytes."""
        keeper = self.keeper
        if self.result:
            keeper.say("V", self.result)
        for name, descriptor, size in facts.files(ARTIFACTS, self.job["artifacts_most"]):
            keeper.say("A", json.dumps({"name": name, "size_bytes": size}).encode())
            try:
                while True:
                    chunk = os.read(descriptor, CHUNK_BYTES)
                    if not chunk:
                        break
                    keeper.say("D", chunk)
                    if keeper.pending_bytes > PENDING_BYTES:
                        keeper.flush_all()
            finally:
                os.close(descriptor)
        if self.job.get("session"):
            facts.empty(ARTIFACTS)

    def end_tell(self) -> None:
        keeper = self.keeper
        ms = (time.monotonic() - self.began) * 1000
        status, usage = keeper.statuses.pop(keeper.child or 0, (None, None))
        code = sig = None
        if status is not None:
            keeper.child = None
            if os.WIFSIGNALED(status):
                sig = os.WTERMSIG(status)
            else:
                code = os.WEXITSTATUS(status)
        elif self.done:
            code, sig = self.done.get("code"), self.done.get("signal")
        after = facts.counters()
        told = {
            "ended": self.ended,
            "exit_code": code,
            "signal": sig,
            "ms": ms,
            "state_lost": bool(self.job.get("session")) and status is not None,
            "full": facts.full(("/tmp", ARTIFACTS, "/dev/shm", "/workspace")),
            "cpu_ms": after["cpu_ms"] - self.before["cpu_ms"],
            "oom_kills": after["oom_kills"] - self.before["oom_kills"],
            "pids_refused": after["pids_refused"] - self.before["pids_refused"],
            "memory_peak_bytes": after["memory_peak_bytes"],
            "rss_peak_bytes": usage.ru_maxrss * 1024 if usage else None,
        }
        keeper.say("E", json.dumps(told).encode())


def _done(told: bytes) -> dict[str, Any]:
    """What a session's worker says of a call. The tool runs in it: nothing but two numbers is taken."""
    try:
        said = json.loads(told)
        words = {key: said.get(key) for key in ("code", "signal")}
    except (ValueError, AttributeError, RecursionError):
        return {}
    return {key: word for key, word in words.items() if type(word) is int and abs(word) < 2**31}


def main() -> None:
    if len(sys.argv) > 2:
        worker.work(socket.socket(fileno=int(sys.argv[2])), sys.argv[1])
    if os.getpid() != 1:
        # It ends whatever else runs around it: by hand, outside of a container, that is everything.
        sys.exit("wait.py is the first process of a container, and nothing else")
    keeper = Keeper(sys.argv[1] if len(sys.argv) > 1 else "plain")
    try:
        keeper.run()
    except Gone:
        keeper.everybody_kill()
    os._exit(0)


if __name__ == "__main__":
    main()
