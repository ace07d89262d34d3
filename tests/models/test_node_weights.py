"""What a node reads of models in its caches: headers, indexes, GGUF metadata, and what it refuses."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from models_app.agent_weights import WeightsDesk
from models_app.node import gguf, safetensors
from models_app.node.gguf import gguf_config, gguf_parts
from models_app.node.model_config import config_kept
from models_app.node.safetensors import WeightsInvalid, tensor_bytes
from models_app.node.weights_look import Weights, answer_digest

CONFIG = {
    "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4,
    "num_key_value_heads": 2, "torch_dtype": "bfloat16", "architectures": ["X"], "vocab_size": 32000,
}  # fmt: skip


def tensors_write(path: Path, sizes: dict[str, int], cut: int = 0) -> int:
    header, place = {"__metadata__": {"format": "pt"}}, 0
    for name, size in sizes.items():
        header[name] = {"dtype": "BF16", "shape": [size // 2], "data_offsets": [place, place + size]}  # type: ignore[dict-item]
        place += size
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(place - cut))
    return place


def snapshot(cache: Path, model: str = "org/model", name: str = "a" * 40) -> Path:
    folder = cache / "hub" / f"models--{model.replace('/', '--')}" / "snapshots" / name
    folder.mkdir(parents=True)
    return folder


def text_of(words: str) -> bytes:
    return struct.pack("<Q", len(words.encode())) + words.encode()


def gguf_write(path: Path, pairs: list[tuple[str, int, bytes]], weights: int = 4096, count: int = 0) -> None:
    body = b"".join(text_of(key) + struct.pack("<I", kind) + value for key, kind, value in pairs)
    head = b"GGUF" + struct.pack("<IQQ", 3, 7, count or len(pairs))
    path.write_bytes(head + body + bytes(weights))


LLAMA = [
    ("general.architecture", 8, text_of("llama")),
    ("llama.block_count", 4, struct.pack("<I", 32)),
    ("llama.context_length", 4, struct.pack("<I", 8192)),
    ("llama.embedding_length", 4, struct.pack("<I", 4096)),
    ("llama.attention.head_count", 4, struct.pack("<I", 32)),
    ("llama.attention.head_count_kv", 9, struct.pack("<IQ2I", 4, 2, 8, 8)),
    ("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 3) + text_of("a") + text_of("bb") + text_of("")),
    ("tokenizer.ggml.scores", 9, struct.pack("<IQ", 6, 2000) + bytes(8000)),
]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hf"


@pytest.fixture
def weights(cache: Path, tmp_path: Path) -> Weights:
    return Weights(cache, tmp_path / "ollama")


# Safetensors ---------------------------------------------------------------------


def test_weights_are_the_sum_of_all_tensors_by_the_headers(cache: Path, weights: Weights) -> None:
    folder = snapshot(cache)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    total = tensors_write(folder / "model-00001-of-00002.safetensors", {"a": 4096, "b": 1024})
    total += tensors_write(folder / "model-00002-of-00002.safetensors", {"c": 2048})
    index = {"metadata": {"total_size": total}, "weight_map": {"a": "model-00001-of-00002.safetensors",
             "c": "model-00002-of-00002.safetensors"}}  # fmt: skip
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    tensors_write(folder / "consolidated.safetensors", {"all": total})
    answer = weights.look("vllm", "org/model")
    assert (answer["status"], answer["weights_bytes"], answer["files"]) == ("ok", total, 2)
    assert answer["config"]["num_key_value_heads"] == 2
    assert "vocab_size" not in answer["config"]


def test_a_second_copy_in_one_piece_is_not_counted_twice(cache: Path, weights: Weights) -> None:
    folder = snapshot(cache)
    total = tensors_write(folder / "model.safetensors", {"a": 4096})
    tensors_write(folder / "consolidated.safetensors", {"a": 4096})
    assert weights.look("vllm", "org/model")["weights_bytes"] == total


def test_files_that_are_not_there_yet_leave_what_the_index_promises(cache: Path, weights: Weights) -> None:
    folder = snapshot(cache)
    tensors_write(folder / "one.safetensors", {"a": 4096})
    index = {"metadata": {"total_size": 9000}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    answer = weights.look("vllm", "org/model")
    assert (answer["status"], answer["weights_bytes"]) == ("partial", 9000)
    assert "1 of 2 files" in answer["message"]


def test_a_file_that_ends_early_is_partial(cache: Path, weights: Weights) -> None:
    tensors_write(snapshot(cache) / "model.safetensors", {"a": 4096}, cut=100)
    answer = weights.look("vllm", "org/model")
    assert (answer["status"], answer["weights_bytes"]) == ("partial", None)
    assert "not complete" in answer["message"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x05",
        (2**62).to_bytes(8, "little") + b"{}",
        (40 * 2**20).to_bytes(8, "little") + b"{}",
        (9).to_bytes(8, "little") + b"not json!",
        (2).to_bytes(8, "little") + b"[]",
        (40000).to_bytes(8, "little") + b"[" * 40000,
        (33).to_bytes(8, "little") + b'{"a": {"data_offsets": [5, -1] }}',
        (33).to_bytes(8, "little") + b'{"a": {"data_offsets": [0, 1e9]}}',
        (33).to_bytes(8, "little") + b'{"a": {"data_offsets": "0000000"}}',
    ],
)
def test_hostile_safetensors_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsInvalid):
        tensor_bytes(path)


def test_links_out_of_the_cache_are_not_followed(cache: Path, weights: Weights, tmp_path: Path) -> None:
    folder = snapshot(cache)
    blob = cache / "hub" / "models--org--model" / "blobs" / "x"
    blob.parent.mkdir()
    inside = tensors_write(blob, {"a": 512})
    (folder / "model.safetensors").symlink_to(blob)
    tensors_write(tmp_path / "outside", {"a": 8192})
    (folder / "evil.safetensors").symlink_to(tmp_path / "outside")
    (folder / "config.json").symlink_to("/etc/passwd")
    answer = weights.look("vllm", "org/model")
    assert (answer["status"], answer["weights_bytes"], answer["config"]) == ("ok", inside, {})


@pytest.mark.parametrize(
    "model",
    [
        "../../etc",
        "org/../../x",
        "/etc/passwd",
        "",
        "a" * 500,
        "org/model\0",
        "/root/.cache/huggingface/../../x",
    ],
)
@pytest.mark.parametrize("engine", ["vllm", "llamacpp", "ollama", "nobody"])
def test_names_that_are_no_models_are_absent(weights: Weights, cache: Path, engine: str, model: str) -> None:
    snapshot(cache)
    assert weights.look(engine, model)["status"] == "absent"


def test_a_file_is_read_again_only_when_it_changed(cache: Path, weights: Weights, monkeypatch: Any) -> None:
    path = snapshot(cache) / "model.safetensors"
    tensors_write(path, {"a": 4096})
    read: list[Path] = []
    real = safetensors.tensor_bytes

    def tensor_bytes(one: Path) -> int:
        read.append(one)
        return real(one)

    monkeypatch.setattr("models_app.node.weights_look.tensor_bytes", tensor_bytes)
    weights.look("vllm", "org/model")
    weights.look("vllm", "org/model")
    assert len(read) == 1
    tensors_write(path, {"a": 8192})
    assert weights.look("vllm", "org/model")["weights_bytes"] == 8192
    assert len(read) == 2


# GGUF ----------------------------------------------------------------------------


def test_gguf_tells_its_shape_under_the_names_of_a_config(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    gguf_write(path, LLAMA)
    assert gguf_config(path) == {
        "model_type": "llama", "num_hidden_layers": 32, "max_position_embeddings": 8192, "hidden_size": 4096,
        "num_attention_heads": 32, "num_key_value_heads": [8, 8],
    }  # fmt: skip


ONE_KEY = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("no magic", b"GGML" + bytes(40)),
        ("version", b"GGUF" + struct.pack("<IQQ", 9, 0, 0)),
        ("too many keys", b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60)),
        ("cut", b"GGUF" + struct.pack("<IQQ", 3, 0, 5)),
        ("long text", ONE_KEY + struct.pack("<Q", 2**50)),
        ("type", ONE_KEY + text_of("a") + struct.pack("<I", 77)),
        ("long array", ONE_KEY + text_of("a") + struct.pack("<IIQ", 9, 4, 2**40)),
        ("nested", ONE_KEY + text_of("a") + struct.pack("<IIQ", 9, 9, 1)),
        ("array of nothing", ONE_KEY + text_of("a") + struct.pack("<IIQ", 9, 99, 1)),
        ("empty", b""),
    ],
)  # fmt: skip
def test_hostile_gguf_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(WeightsInvalid):
        gguf_config(path)


def test_metadata_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "METADATA_LIMIT_BYTES", 1000)
    path = tmp_path / "m.gguf"
    gguf_write(path, LLAMA)
    with pytest.raises(WeightsInvalid, match="over 1000 bytes"):
        gguf_config(path)


def test_the_quantization_that_is_meant_is_chosen_with_all_its_parts(cache: Path, weights: Weights) -> None:
    folder = snapshot(cache, "org/model-GGUF")
    gguf_write(folder / "m-Q4_K_M-00001-of-00002.gguf", LLAMA, 1000)
    gguf_write(folder / "m-Q4_K_M-00002-of-00002.gguf", LLAMA[:1], 500)
    gguf_write(folder / "m-Q8_0.gguf", LLAMA, 9000)
    gguf_write(folder / "mmproj-m.gguf", LLAMA[:1], 10)
    both = sum((folder / f"m-Q4_K_M-0000{part}-of-00002.gguf").stat().st_size for part in (1, 2))
    answer = weights.look("llamacpp", "org/model-GGUF:Q4_K_M")
    assert (answer["status"], answer["weights_bytes"], answer["files"]) == ("ok", both, 2)
    large = weights.look("llamacpp", "org/model-GGUF", "m-Q8_0.gguf")
    assert large["weights_bytes"] == (folder / "m-Q8_0.gguf").stat().st_size
    (folder / "m-Q4_K_M-00002-of-00002.gguf").unlink()
    assert weights.look("llamacpp", "org/model-GGUF:Q4_K_M")["status"] == "partial"
    assert weights.look("llamacpp", "org/model-GGUF:Q2_K")["status"] == "absent"
    assert gguf_parts("a-00002-of-00005.gguf") == ("a", 5)


def test_what_llama_cpp_downloaded_itself_is_found(cache: Path, weights: Weights) -> None:
    (cache / "llama.cpp").mkdir(parents=True)
    gguf_write(cache / "llama.cpp" / "org_model-GGUF_m-Q4_K_M.gguf", LLAMA)
    answer = weights.look("llamacpp", "org/model-GGUF:Q4_K_M")
    assert (answer["status"], answer["kind"]) == ("ok", "gguf")


# Ollama --------------------------------------------------------------------------


def test_ollama_models_are_found_by_their_manifest(weights: Weights, tmp_path: Path) -> None:
    root = tmp_path / "ollama" / "models"
    (root / "blobs").mkdir(parents=True)
    digest = "sha256:" + "c" * 64
    manifest = root / "manifests" / "registry.ollama.ai" / "library" / "qwen3-vl" / "32b"
    manifest.parent.mkdir(parents=True)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": 1}
    manifest.write_text(json.dumps({"layers": [layer, {"mediaType": "x.license", "digest": "y"}]}))
    assert weights.look("ollama", "qwen3-vl:32b")["status"] == "partial"
    blob = root / "blobs" / digest.replace(":", "-")
    gguf_write(blob, LLAMA, 5000)
    answer = weights.look("ollama", "qwen3-vl:32b")
    assert (answer["status"], answer["weights_bytes"]) == ("ok", blob.stat().st_size)
    assert answer["config"]["num_hidden_layers"] == 32
    assert weights.look("ollama", "other")["status"] == "absent"
    manifest.write_text("{nonsense")
    assert weights.look("ollama", "qwen3-vl:32b")["status"] == "invalid"


# What is told --------------------------------------------------------------------


def test_a_config_is_cut_down_to_what_counts() -> None:
    kept = config_kept(
        {
            "text_config": {"num_hidden_layers": 4, "head_dim": True, "hidden_size": -1, "dtype": "bf\0loat"},
            "vision_config": {},
            "layer_types": ["full_attention"] * 2000,
            "secret": "x",
        }
    )
    assert kept == {"num_hidden_layers": 4, "dtype": "bfloat", "multimodal": True}
    assert config_kept(kept) == kept
    assert config_kept([1]) == {}


class Journal:
    def __init__(self) -> None:
        self.facts: list[tuple[str, dict[str, Any]]] = []

    def add(self, verb: str, data: dict[str, Any]) -> int:
        self.facts.append((verb, data))
        return len(self.facts)

    def is_acknowledged(self, sequence: int) -> bool:
        return True

    def fence(self, launch: str, generation: int) -> bool:
        return True


def test_only_what_control_does_not_know_is_told(cache: Path, weights: Weights) -> None:
    tensors_write(snapshot(cache) / "model.safetensors", {"a": 4096})
    journal = Journal()
    desk = WeightsDesk(weights, journal)
    item = {"engine": "vllm", "model_id": "org/model", "file": "", "known": ""}
    assert desk.look([item, "nonsense", {"model_id": 5}]) == 2
    verb, data = journal.facts[0]
    assert (verb, data["model_id"], data["answer"]["status"]) == ("weights_seen", "org/model", "ok")
    assert desk.look([{**item, "known": answer_digest(data["answer"])}]) == 0
    assert desk.look(None) == 0
