"""The ground floor: paths, the one exception, the talk as data, the learner's progress."""

from workshop.ground.paths import BUILD, DAGS, NOTEBOOKS, ROOT, notebooks
from workshop.ground.problem import Problem
from workshop.ground.words import count, known

__all__ = ["BUILD", "DAGS", "NOTEBOOKS", "ROOT", "Problem", "count", "known", "notebooks"]
