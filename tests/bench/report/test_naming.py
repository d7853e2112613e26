from hypothesis import given
from hypothesis import strategies as st

from bench.report.naming import ShortNames
from bench.spec import Spec

WORDS = st.text("abc", min_size=1, max_size=2)
SPECS = st.builds(
    lambda name, parameters: str(Spec(name, tuple(parameters.items()))),
    WORDS,
    st.dictionaries(WORDS, st.text("ab:=[]", max_size=2).filter(lambda text: "[" not in text)
                    .filter(lambda text: "]" not in text), max_size=3),
)  # fmt: skip


def test_a_plugin_that_is_there_once_is_called_by_its_name():
    names = ShortNames.of(["none", "defensegan:restarts=4:steps=20"])

    assert names["defensegan:restarts=4:steps=20"] == "defensegan"
    assert names.hidden() == {"defensegan": "defensegan:restarts=4:steps=20"}


def test_specs_of_one_plugin_keep_the_parameters_in_which_they_differ():
    names = ShortNames.of(["convae", "convae:eps=0.3:width=8", "convae:eps=0.1:width=8"])

    assert list(names.names.values()) == [
        "convae",
        "convae:eps=0.3:width=8",
        "convae:eps=0.1:width=8",
    ]
    assert ShortNames.of(["convae:eps=0.3:width=8", "convae:eps=0.1:width=8"]).names == {
        "convae:eps=0.3:width=8": "convae:eps=0.3",
        "convae:eps=0.1:width=8": "convae:eps=0.1",
    }


def test_a_chosen_name_goes_first():
    names = ShortNames.of(["none", "convae:eps=0.3"], {"convae:eps=0.3": "ConvAE"})

    assert names["convae:eps=0.3"] == "ConvAE"


def test_names_that_would_be_equal_stay_specs():
    names = ShortNames.of(["none", "convae:eps=0.3"], {"convae:eps=0.3": "none"})

    assert names["convae:eps=0.3"] == "convae:eps=0.3"


def test_a_text_that_is_no_spec_is_its_own_name():
    assert ShortNames.of(["[a"])["[a"] == "[a"
    assert ShortNames.of([])["median"] == "median"


@given(st.lists(SPECS, max_size=6), st.dictionaries(SPECS, WORDS, max_size=2))
def test_names_differ_wherever_specs_do(specs, aliases):
    names = ShortNames.of(specs, aliases).names

    assert len(set(names.values())) == len(set(specs))


def test_a_text_that_takes_its_name_back_keeps_it():
    names = ShortNames.of(["a", "b", "c"], {"a": "x", "b": "x", "c": "a"}).names

    assert names == {"a": "a", "b": "b", "c": "c"}
