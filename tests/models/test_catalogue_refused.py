"""A models.yaml that is wrong: each problem names file, line, key and what is expected."""

from __future__ import annotations

import pytest

from models_app.catalogue import CatalogueError, catalogue_parse


def problems(text: str | bytes) -> list[str]:
    """The sentences with which a file is refused."""
    raw = text.encode() if isinstance(text, str) else text
    with pytest.raises(CatalogueError) as caught:
        catalogue_parse(raw, "models.yaml")
    return [str(problem) for problem in caught.value.problems]


def model(**keys: str) -> str:
    """A file with one model on lines 1 to 2 and its keys from line 3; `None` leaves one out."""
    filled = {"engine": "vllm", "port": "8000", "model_id": "org/m"} | keys
    lines = [f"    {key}: {value}" for key, value in filled.items() if value != "None"]
    return "models:\n  m:\n" + "\n".join(lines) + "\n"


WHOLE_FILE = {
    "empty": (b"", "line 1: the file is empty"),
    "only a comment": (b"# nothing\n", "line 1: the file is empty"),
    "not UTF-8": (b"models:\n  m: \xff\n", "line 2: byte 0xff is not UTF-8"),
    "UTF-16": ("models: {}".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
    "too large": (b"#" * 1_000_001, "line 1: the file has 1.0 MB"),
    "a list": (b"- a\n", "line 1: expected keys like `models:` at the left margin, found a list"),
    "text": (b"hello\n", "found the text 'hello'"),
    "unclosed bracket": (b"models:\n  a: [1\n", "not valid YAML: while parsing a flow sequence"),
    "tab": (b"models:\n\ta: 1\n", "line 2: not valid YAML"),
    "control character": (b"a: 1\nb: \x07\n", "line 2: not valid YAML: unacceptable character"),
    "two documents": (b"a: 1\n---\nb: 2\n", "line 2: not valid YAML: expected a single document"),
    "key twice": (
        b"models: {}\nmodels: {}\n",
        "line 2: the key 'models' stands here for the second time, first on",
    ),
    "number as key": (b"models:\n  7: {}\n", "line 2: models: expected text as key; write '7' in quotes"),
    "tag": (b"models: !!python/object:os.system {a: 1}\n", "line 1: models: the tag"),
    "unknown alias": (b"models: *nothing\n", "line 1: not valid YAML: found undefined alias"),
    "cycle": (b"models: &a {b: *a}\n", "line 1: the anchor &a contains itself"),
    "too deep": (b"a: " + b"[" * 5000, "line 1: nested more than 24 levels deep"),
    "too many values": (b"- 1\n" * 200_000, "more than 20000 values"),
    "infinite": (b"models: {}\nx: .inf\n", "line 2: x: must be a finite number"),
    "number without end": (b"models: {}\nx: " + b"9" * 5000, "line 2: x: is not a usable number"),
    "NUL": (b'models: {}\nx: "\\0"\n', "line 2: x: must not contain the character NUL"),
    "half a surrogate": (b'models: {}\nx: "\\ud800"\n', "line 2: x: contains half of a surrogate pair"),
}


@pytest.mark.parametrize(("text", "sentence"), WHOLE_FILE.values(), ids=WHOLE_FILE)
def test_unreadable_file(text: bytes, sentence: str) -> None:
    found = problems(text)
    assert found[0].startswith("models.yaml, line ")
    assert sentence in found[0]


def test_alias_bomb_ends_early() -> None:
    levels = "".join(f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 10)}]\n" for n in range(1, 10))
    assert "aliases grow to more than 20000 values" in problems(f"b0: &b0 [x]\n{levels}")[0]


KEYS = {
    "no models": ("schema_version: '1.0'\n", "line 1: models: missing; expected a mapping"),
    "models is a list": ("models:\n  - a\n", "line 1: models: expected a mapping, found a list"),
    "models is empty": ("models:\n", "line 1: models: expected a mapping, found nothing"),
    "schema of tomorrow": ("schema_version: '2.0'\nmodels: {}\n", 'line 1: schema_version: expected "1.0"'),
    "defaults is text": ("defaults: big\nmodels: {}\n", "line 1: defaults: expected a mapping"),
    "engine defaults is a list": (
        "defaults:\n  vllm: [1]\nmodels: {}\n",
        "line 2: defaults.vllm: expected a mapping",
    ),
    "wrong default": (
        "defaults:\n  vllm:\n    swap_space: much\nmodels: {}\n",
        'line 3: defaults.vllm.swap_space: expected a number of at least 0, found "much"',
    ),
    "model is text": (
        "models:\n  m: hello\n",
        "line 2: models.m: expected a mapping, found the text 'hello'",
    ),
    "engine missing": (
        model(engine="None"),
        "line 2: models.m.engine: missing; expected one of vllm, ollama",
    ),
    "engine empty": (model(engine=""), "line 3: models.m.engine: missing"),
    "port missing": (model(port="None"), "line 2: models.m.port: missing; expected the port on the node"),
    "model_id missing": (
        model(model_id="None"),
        "line 2: models.m.model_id: missing; expected a Hugging Face id",
    ),
    "unknown engine": (model(engine="vlm"), "line 3: models.m.engine: expected one of vllm, ollama"),
    "port 0": (
        model(port="0"),
        "line 4: models.m.port: expected a whole number from 1 to 65535, found the number 0",
    ),
    "port too high": (model(port="65536"), "found the number 65536"),
    "port negative": (model(port="-1"), "found the number -1"),
    "port as text": (model(port="'8000'"), "found the text '8000'"),
    "port as fraction": (model(port="8000.5"), "found the number 8000.5"),
    "port as boolean": (model(port="yes"), "found true"),
    "port as list": (model(port="[8000]"), "found a list"),
    "option as model_id": (model(model_id="--help"), "line 5: models.m.model_id: expected a Hugging Face id"),
    "model_id on two lines": (model(model_id='"a\\nb"'), "line 5: models.m.model_id: expected"),
    "empty name": (model(name="''"), "line 6: models.m.name: expected a name"),
    "name is a number": (model(name="5"), "line 6: models.m.name: expected text on one line of at most 120"),
    "long name": (model(name="x" * 121), "line 6: models.m.name: expected text on one line of at most 120"),
    "image with spaces": (model(image="a b"), "line 6: models.m.image: expected an image such as"),
    "image as option": (model(image="--privileged"), "line 6: models.m.image: expected an image such as"),
    "container name": (model(container_name="a/b"), "line 6: models.m.container_name: expected letters"),
    "negative memory": (
        model(estimated_memory_gb="-1"),
        "line 6: models.m.estimated_memory_gb: expected a number",
    ),
    "memory as text": (model(estimated_memory_gb="45GB"), "found the text '45GB'"),
    "memory too exact": (model(estimated_memory_gb="1.234"), "at most two decimals"),
    "enabled": (
        model(enabled="maybe"),
        "line 6: models.m.enabled: expected true or false, found the text 'maybe'",
    ),
    "priority": (
        model(priority="1001"),
        "line 6: models.m.priority: expected a whole number from -1000 to 1000",
    ),
    "priority as boolean": (model(priority="yes"), "found true"),
    "node_count": (
        model(node_count="0"),
        "line 6: models.m.node_count: expected a whole number from 1 to 16, found the number 0",
    ),
    "idle_minutes": (
        model(idle_minutes="0"),
        "line 6: models.m.idle_minutes: expected minutes, a whole number from 1 to 10080, found the number 0",
    ),
    "pinned": (model(pinned="2"), "line 6: models.m.pinned: expected true or false, found the number 2"),
    "publish": (model(publish="world"), "line 6: models.m.publish: expected one of local, fabric, lan"),
    "settings is a list": (
        model(settings="[1]"),
        "line 6: models.m.settings: expected a mapping, found a list",
    ),
    "setting": (
        model(settings="{gpu_memory_utilization: 40}"),
        "line 6: models.m.settings.gpu_memory_utilization: expected a number from 0.01 to 1, found 40",
    ),
}


@pytest.mark.parametrize(("text", "sentence"), KEYS.values(), ids=KEYS)
def test_wrong_key(text: str, sentence: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert sentence in found[0]


@pytest.mark.parametrize("name", ["Bad Name", "../etc", "a/b", "-x", ".x", "Upper", "x" * 81, "ü", "a b"])
def test_name_that_is_no_slug(name: str) -> None:
    found = problems(f"models:\n  {name!r}: {{engine: vllm, port: 8000, model_id: org/m}}\n")
    assert len(found) == 1
    assert "expected lower-case letters, digits, dots and hyphens" in found[0]


def test_port_used_twice_names_both_models() -> None:
    text = "models:\n" + "".join(
        f"  {name}:\n    engine: vllm\n    model_id: a/b\n    port: 8000\n" for name in "ab"
    )
    assert problems(text) == ["models.yaml, line 9: models.b.port: 8000 is used twice, first by a on line 5"]


def test_all_problems_are_reported_at_once_in_the_order_of_the_file() -> None:
    found = problems(
        "defaults: {vllm: {max_num_seqs: 0}}\n"
        "models:\n"
        "  good: {engine: vllm, port: 8000, model_id: org/m}\n"
        "  bad: {engine: nope, port: 8000}\n"
        "  'worse!': 5\n"
    )
    assert [line.split(": ")[0] for line in found] == [f"models.yaml, line {n}" for n in (1, 4, 4, 4, 5, 5)]


def test_unknown_engine_settings_are_not_judged() -> None:
    text = model(engine="ollama", settings="{max_model_len: many}")
    assert catalogue_parse(text.encode(), "models.yaml").entries[0].settings == {"max_model_len": "many"}
