"""The pure parts of the agent: how ends and milestones are worded, and the line buffer."""

from __future__ import annotations

import json

import pytest

from models_app.node.exits import StopNote, exit_reason, exit_signal, line_of_failure, tail_text
from models_app.node.line_buffer import BATCH_LINES, BYTES_LIMIT, LINES_LIMIT, LINES_PER_SECOND, LineBuffer
from models_app.node.watch import Watch

VLLM_FAILURE = """\
(EngineCore pid=271) ERROR 11-23 19:04:12 [core.py:843] ValueError: Free memory on device (3.1/119.6 GiB)
(EngineCore pid=271) Process EngineCore:
(APIServer pid=1) Traceback (most recent call last):
(APIServer pid=1)   File "/opt/vllm/bin/vllm", line 8, in <module>
(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed: {}
[rank0]: warnings.warn(""".splitlines()
VLLM_INVALID = """\
(APIServer pid=1) pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
(APIServer pid=1)   Value error, User-specified max_model_len (9) is too great. [type=value_error, input=A()]
(APIServer pid=1)     For further information visit https://errors.pydantic.dev/2.14/v/value_error""".splitlines()
VLLM_FIELD = """\
pydantic_core._pydantic_core.ValidationError: 1 validation error for CacheConfig
block_size
  Input should be 1, 8 or 16 [type=literal_error, input_value=5, input_type=int]
    For further information visit https://errors.pydantic.dev/2.14/v/literal_error""".splitlines()


@pytest.mark.parametrize(
    "lines, best",
    [
        ([], ""),
        (["", "  "], ""),
        (["one", "two", ""], "two"),
        (["done", "-----"], "done"),
        (["usage: vllm ...", "vllm: error: unrecognized arguments: --swap-space"],
         "vllm: error: unrecognized arguments: --swap-space"),
        (VLLM_FAILURE, "ValueError: Free memory on device (3.1/119.6 GiB)"),
        (VLLM_FAILURE[2:], "RuntimeError: Engine core initialization failed. See root cause above. "
                           "Failed: {}"),
        (VLLM_INVALID, "ValidationError: User-specified max_model_len (9) is too great."),
        (VLLM_INVALID[:1], VLLM_INVALID[0].partition(") ")[2]),
        (VLLM_FIELD, "ValidationError: block_size: Input should be 1, 8 or 16"),
        (["\x1b[31mOSError: no such model\x1b[0m", "bye"], "OSError: no such model"),
        (["torch.OutOfMemoryError: CUDA out of memory"], "torch.OutOfMemoryError: CUDA out of memory"),
    ],
)  # fmt: skip
def test_line_that_says_why(lines: list[str], best: str) -> None:
    assert line_of_failure(lines) == best


def test_line_that_says_why_is_short() -> None:
    assert len(line_of_failure(["ValueError: " + "x" * 9000])) == 500


@pytest.mark.parametrize(
    "code, oom, stop, lines, reason",
    [
        (0, False, None, [], "exited with code 0"),
        (1, False, None, ["boom"], "exited with code 1: boom"),
        (139, False, None, [], "ended by SIGSEGV (exit code 139)"),
        (
            137, False, None, [],
            "killed with SIGKILL: by someone, or by the kernel because the machine ran out of memory",
        ),
        (137, True, None, ["x"], "killed by the kernel because its memory limit was reached: x"),
        (0, False, StopNote(30), ["x"], "stopped as asked (exit code 0)"),
        (137, False, StopNote(30), [], "stopped as asked: it ignored SIGTERM for 30 s and was killed"),
        (137, True, StopNote(30), [], "killed by the kernel because its memory limit was reached"),
        (255, False, None, [], "exited with code 255"),
    ],
)  # fmt: skip
def test_reason_of_an_end(code: int, oom: bool, stop: StopNote | None, lines: list[str], reason: str) -> None:
    assert exit_reason(code, oom, stop, lines) == reason


@pytest.mark.parametrize(
    "code, name", [(0, None), (1, None), (128, None), (137, "SIGKILL"), (143, "SIGTERM"), (255, None)]
)
def test_signal_of_an_exit_code(code: int, name: str | None) -> None:
    assert exit_signal(code) == name


@pytest.mark.parametrize("line", ["x" * 100, '"' * 1000, "\\" * 1000, "\x01" * 1000, "é" * 1000])
def test_tail_fits_a_fact_whatever_is_in_it(line: str) -> None:
    tail = tail_text([line] * 5000)
    assert len(tail.encode()) <= 64 * 1024
    assert len(json.dumps(json.dumps(tail, ensure_ascii=False), ensure_ascii=False).encode()) < 200 * 1024


def test_tail_keeps_the_last_whole_lines() -> None:
    tail = tail_text([f"line {number}" for number in range(100_000)])
    assert tail.endswith("line 99999")
    assert tail.split("\n")[0].startswith("line ")


def drain(buffer: LineBuffer, now: float) -> list[str]:
    lines: list[str] = []
    while batch := buffer.take(now):
        assert len(batch.lines) <= BATCH_LINES
        lines += batch.lines
    return lines


def test_buffer_gives_in_order_with_reset_first_and_end_last() -> None:
    buffer = LineBuffer()
    buffer.reset()
    buffer.put(["a", "b"])
    buffer.end()
    batch = buffer.take(1.0)
    assert (batch.reset, batch.skipped, batch.lines, batch.end) == (True, 0, ["a", "b"], True)
    assert not buffer.take(1.0) and buffer.is_empty()


def test_buffer_drops_the_oldest_and_counts_them() -> None:
    buffer = LineBuffer()
    buffer.put([str(number) for number in range(LINES_LIMIT + 7)])
    batch = buffer.take(1.0)
    assert batch.skipped == 7
    assert batch.lines[0] == "7"


def test_buffer_is_bounded_in_bytes() -> None:
    buffer = LineBuffer()
    buffer.put(["x" * 10_000] * 1000)
    assert buffer.take(1.0).skipped == 1000 - BYTES_LIMIT // 10_000


def test_buffer_gives_no_more_than_its_allowance_in_a_second() -> None:
    buffer = LineBuffer()
    buffer.put([str(number) for number in range(LINES_LIMIT)])
    assert len(drain(buffer, 1.0)) == LINES_PER_SECOND
    buffer.put(["later"])
    assert drain(buffer, 1.9) == []
    assert drain(buffer, 2.0) == ["later"]


def test_buffer_takes_a_batch_back() -> None:
    buffer = LineBuffer()
    buffer.reset()
    buffer.put(["a"])
    buffer.put_back(buffer.take(1.0))
    buffer.put(["b"])
    batch = buffer.take(2.0)
    assert batch.reset and batch.lines == ["a", "b"]


def test_buffer_that_began_anew_takes_nothing_back() -> None:
    buffer = LineBuffer()
    buffer.put(["old"])
    batch = buffer.take(1.0)
    buffer.reset()
    buffer.put_back(batch)
    buffer.put(["new"])
    assert buffer.take(2.0).lines == ["new"]


def test_buffer_that_jumps_forgets_what_waits_and_says_so_once() -> None:
    buffer = LineBuffer()
    buffer.put(["old"])
    buffer.jump(["new"])
    batch = buffer.take(1.0)
    assert (batch.jumped, batch.skipped, batch.lines) == (True, 0, ["new"])
    buffer.put(["newer"])
    assert buffer.take(2.0).jumped is False


def test_buffer_that_jumped_takes_nothing_back_and_a_jump_itself_comes_back() -> None:
    buffer = LineBuffer()
    buffer.put(["old"])
    old = buffer.take(1.0)
    buffer.jump(["new"])
    buffer.put_back(old)
    jump = buffer.take(2.0)
    assert jump.lines == ["new"]
    buffer.put_back(jump)
    again = buffer.take(3.0)
    assert (again.jumped, again.lines) == (True, ["new"])


def test_watch_tells_the_longest_pause_since_a_moment() -> None:
    now = [100.0]
    watch = Watch(lambda: now[0])
    now[0] = 101.0
    watch.beat()
    assert watch.stood_still_since(100.5) == 0.0
    now[0] = 170.0
    assert watch.stood_still_since(101.0) == 69.0  # before the next beat
    watch.beat()
    assert watch.stood_still_since(101.0) == 69.0
    assert watch.stood_still_since(170.0) == 0.0
