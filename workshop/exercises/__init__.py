"""The exercises: `check(name)` looks at the learner's DAG and at what its runs do, not at its text.

All of them stand in `questions.yaml`, in the notebooks' order. Those that try out a DAG or a
function have a judge in a file of the folder `notebooks`, found by the notebook's name.
"""

from workshop.exercises.judging import Verdict, check, every, progress

__all__ = ["Verdict", "check", "every", "progress"]
