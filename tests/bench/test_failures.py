"""An uncaught exception is one clean line, whatever it is."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import memory
from bench.failures import described, is_out_of_memory
from bench.text import one_line

text = st.text(st.characters(codec=None), max_size=600)
numbers = st.sampled_from(sorted(errno.errorcode))
errors = st.one_of(
    text.map(ValueError),
    text.map(SystemExit),
    text.map(ImportError),
    text.map(ModuleNotFoundError),
    text.map(KeyError),
    st.builds(OSError, numbers, text, text),
    st.builds(
        type,
        text.map(lambda name: f"E{name}".replace("\0", "")),
        st.just((Exception,)),
        st.just({}),
    ).map(lambda kind: kind()),
)


@given(errors)
def test_the_line_is_clean_and_short(error: BaseException) -> None:
    line = described(error)
    assert line
    assert line == one_line(line, 1500)


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "MPS backend out of memory (MPS allocated: 8 GB)",
        "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: not enough memory: you tried to "
        "allocate 400 bytes.",
        "unable to mmap 128 bytes from file <filename not specified>: Cannot allocate memory (12)",
    ],
)
def test_the_errors_of_used_up_memory_are_known(message: str) -> None:
    assert is_out_of_memory(RuntimeError(message))


def test_the_error_number_of_used_up_memory_is_known() -> None:
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not is_out_of_memory(OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("there is not enough memory of the past in this cell"),
        RuntimeError("the replay buffer ran out of memory slots"),
        RuntimeError("size mismatch, got memory: 12"),
        KeyError("out of memory"),
    ],
)
def test_a_message_about_other_memory_is_another_error(error: Exception) -> None:
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        ImportError("libtorch.so: failed to map segment from shared object"),
    ],
)
def test_an_uncaught_error_of_used_up_memory_names_the_batch_size(error: Exception) -> None:
    assert described(error).startswith("memory is used up (")
    assert "--batch-size" in described(error)


ODD_ENDS = [
    SystemError("error return without exception set"),
    SystemError("<built-in function zeros> returned NULL without setting an exception"),
    RuntimeError("can't start new thread"),
    ImportError('PyCapsule_Import could not import module "datetime"'),
    ModuleNotFoundError("No module named 'torch._C'"),
    KeyError("name"),
    AttributeError("partially initialized module"),
]


@pytest.mark.parametrize("error", ODD_ENDS, ids=repr)
@pytest.mark.parametrize("short", [True, False])
def test_any_error_may_come_of_short_memory_and_no_other_is_said_to(
    error: Exception, short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "is_short", lambda: short)
    line = described(error)
    assert line.startswith("less than 32 MB of memory are left (") == short
    assert ("memory" in line) == ("--batch-size" in line) == short
    assert type(error).__name__ in line or "install purification-bench" in line


@pytest.mark.parametrize(
    "error", [SystemExit(3), OSError(errno.ENOSPC, "No space left on device")], ids=repr
)
def test_an_error_with_a_reason_of_its_own_keeps_it(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = described(error)
    monkeypatch.setattr(memory, "is_short", lambda: True)
    assert described(error) == before
