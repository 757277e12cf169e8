"""Executing the notebooks: a stage, a run, a sweep, the pages."""

import sys

# jsonschema would compile a grammar for addresses, which notebooks do not need, at every start.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
