"""docs/engines.md says of each engine what the code does: image, defaults, every setting.

`python -m tests.models.test_engines_documented` prints the tables as they should stand there.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from models_app.engines.container import CONTAINER_SETTINGS, EngineKind
from models_app.engines.registry import ENGINES
from models_app.engines.settings_schema import Setting

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "engines.md"
SHARED = {row.name for row in CONTAINER_SETTINGS}


def table(rows: list[Setting]) -> str:
    head = "| setting | value | passed as | meaning |\n|---|---|---|---|"
    return "\n".join([head, *(_row(row) for row in rows)])


def _row(row: Setting) -> str:
    passed = [row.flag, row.off_flag, row.variable]
    span = [
        f"from {_dotted(row.since)}" if row.since else "",
        f"before {_dotted(row.until)}" if row.until else "",
    ]
    words = " / ".join(f"`{word}`" for word in passed if word) + "".join(f", {word}" for word in span if word)
    return f"| `{row.name}` | {_value(row)} | {words} | {row.help} |"


def _value(row: Setting) -> str:
    if row.choices:
        return ", ".join(row.choices)
    if row.low is not None and row.high is not None:
        return f"{row.kind}, {row.low:g} to {row.high:g}"
    return f"{row.kind}, at least {row.low:g}" if row.low is not None else row.kind


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def own_table(kind: EngineKind) -> str:
    return table([row for row in kind.settings.values() if row.name not in SHARED])


def defaults(kind: EngineKind) -> str:
    held = ", ".join(f"`{name}: {value}`".replace("True", "true") for name, value in kind.built_in.items())
    image = f"`{kind.default_image}`" if kind.default_image else "none, the definition names it"
    return f"Defaults: {held}." if kind.name == "script" else f"Image: {image}. Defaults: {held}."


def section(kind: EngineKind) -> str:
    return DOCUMENT.read_text().split(f"## {kind.label}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("kind", ENGINES.values(), ids=lambda kind: kind.name)
def test_engine_is_documented_as_it_is(kind: EngineKind) -> None:
    text = section(kind)
    assert defaults(kind) in text
    assert own_table(kind) in text


def test_settings_of_all_containers_are_documented_once() -> None:
    assert DOCUMENT.read_text().count(table(list(CONTAINER_SETTINGS))) == 1


if __name__ == "__main__":
    for engine in ENGINES.values():
        print(f"## {engine.label}\n\n{defaults(engine)}\n\n{own_table(engine)}\n")
    print(table(list(CONTAINER_SETTINGS)))
