"""How much there is to know: nodes of Python's syntax tree by room, of library and tests.

Run: .venv/bin/python benchmarks/nodes.py. Counted is what `ast.walk` visits in every file; of the
library without run/new.py, which writes new projects. Layout and comments count nothing.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HOME = Path(__file__).parents[1]
LEFT_OUT = "ml_workflow/run/new.py"


def files(folder: str) -> Iterator[Path]:
    """The Python files that count, below a folder of the project."""
    left_out = HOME / LEFT_OUT
    return (path for path in (HOME / folder).rglob("*.py") if path != left_out)


def nodes(folder: str) -> Counter[str]:
    """The number of nodes by room; what stands in no room counts as a room of its own."""
    counts = Counter[str]()
    for path in files(folder):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        counts[path.relative_to(HOME / folder).parts[0]] += sum(1 for _ in ast.walk(tree))
    return counts


def main() -> None:
    """Print a table: a line for each room, the largest of the library first, and the totals."""
    library, tests = nodes("ml_workflow"), nodes("tests")
    rooms = sorted(library | tests, key=lambda room: (-library[room], -tests[room], room))
    print(f"{'nodes':<16}{'ml_workflow':>14}{'tests':>10}")
    for room in rooms:
        print(f"{room:<16}{library[room] or '':>14}{tests[room] or '':>10}")
    print(f"{'total':<16}{library.total():>14,}{tests.total():>10,}")
    print(f"(without {LEFT_OUT})")


if __name__ == "__main__":
    main()
