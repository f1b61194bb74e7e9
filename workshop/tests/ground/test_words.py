"""Words that a learner typed."""

import pytest

from workshop.ground import Problem, known
from workshop.ground.words import MOST


def test_a_word_that_is_not_there_is_one_sentence_with_the_nearest() -> None:
    assert known("pears", ["apples", "pears"], "fruit") == "pears"
    with pytest.raises(Problem) as raised:
        known("paers", ["apples", "pears"], "fruit")
    assert str(raised.value) == (
        "There is no fruit 'paers'. Did you mean 'pears'? The fruits are: apples, pears."
    )


def test_of_many_words_the_first_are_named() -> None:
    tasks = [f"t{number}" for number in range(MOST + 3)]
    with pytest.raises(Problem, match=rf"t0, .*t{MOST - 1} and 3 more\.$") as raised:
        known("?", tasks, "task")
    assert "Did you mean" not in str(raised.value)
