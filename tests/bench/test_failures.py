"""An uncaught exception is one clean line, whatever it is."""

from __future__ import annotations

import errno

from hypothesis import given
from hypothesis import strategies as st

from bench.failures import described
from bench.text import one_line

text = st.text(st.characters(codec=None), max_size=600)
numbers = st.sampled_from(sorted(errno.errorcode))
errors = st.one_of(
    text.map(ValueError),
    text.map(SystemExit),
    text.map(ImportError),
    text.map(ModuleNotFoundError),
    text.map(KeyError),
    st.builds(OSError, numbers, text.map(one_line), text),
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
