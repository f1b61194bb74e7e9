"""Tests of the workbook: what a user touches, from outside."""

import sys

# nbformat's validator would build the grammar of international addresses, 2.5 s of CPU in every
# process of pytest; no notebook has a field of that kind.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # Python's way to say no
