"""Where the workbook's own files are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
DAGS = ROOT / "dags"
NOTEBOOKS = ROOT / "notebooks"


def notebooks() -> list[Path]:
    """Return the workbook's notebooks in order, the index first."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))
