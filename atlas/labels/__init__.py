"""Labels of neurons: import of label files, ranked by a stated precedence."""

from __future__ import annotations

from atlas.labels.import_labels import LabelFile, LabelFileResult, content, import_labels
from atlas.labels.precedence import KINDS, UNINFORMATIVE, Precedence

__all__ = ["KINDS", "UNINFORMATIVE", "LabelFile", "LabelFileResult", "Precedence", "content", "import_labels"]
