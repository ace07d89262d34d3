"""What lies in this node's caches of a model: bytes of weights, and its shape. Reads headers only.

Control asks about references (`{"engine", "model_id", "file"}`); what was read
is remembered by path, size and time of change, so that asking again costs a few
looks at folders. Links are followed inside the cache and nowhere else.
"""

from __future__ import annotations

import hashlib
import re
import threading
from pathlib import Path
from typing import Any

import orjson

from models_app.node.gguf import gguf_config, gguf_parts
from models_app.node.model_config import config_kept
from models_app.node.safetensors import WeightsInvalid, index_read, json_object, tensor_bytes

CONFIG_LIMIT_BYTES = 4 * 2**20
MANIFEST_LIMIT_BYTES = 2**20
FILES_LIMIT = 2000
REMEMBERED = 20_000
INSIDE_HF = "/root/.cache/huggingface/"
_HF_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_OLLAMA_TAG = re.compile(r"[\w.-]{1,80}(/[\w.-]{1,80}){0,2}(:[\w.-]{1,80})?")


class Weights:
    """Answers for one node. look() may be called from any thread."""

    def __init__(self, hf_cache: Path, ollama_models: Path) -> None:
        self._hf_cache, self._ollama = hf_cache, ollama_models / "models"
        self._remembered: dict[tuple[str, int, int], Any] = {}
        self._lock = threading.Lock()

    def look(self, engine: str, model_id: str, file: str = "") -> dict[str, Any]:
        """Say what is there of a model: `status`, `weights_bytes`, `files`, `kind`, `config`, `message`.

        status `ok`; `partial`, when files are missing or not whole (`weights_bytes`
        is then what the index promises, or None); `absent`; `invalid`, with a message.
        """
        try:
            if engine == "ollama":
                return self._ollama_look(model_id)
            return self._folder_look(engine, model_id, file)
        except WeightsInvalid as error:
            return _answer("invalid", message=str(error))
        except OSError as error:
            return _answer("invalid", message=f"{model_id}: {error.strerror or error}")

    # ---- the Hugging Face cache ----

    def _folder_look(self, engine: str, model_id: str, file: str) -> dict[str, Any]:
        wanted = file
        if engine == "llamacpp" and not model_id.startswith("/"):
            model_id, _, tag = model_id.partition(":")
            wanted = file or tag
        folder = self._folder(model_id)
        if folder is None:
            return self._llama_cache_look(model_id, wanted) if engine == "llamacpp" else _answer("absent")
        if folder.is_file():
            return self._gguf_look([folder])
        files = self._files(folder)
        gguf = [path for path in files if path.name.endswith(".gguf")]
        if engine == "llamacpp" or (gguf and not any(p.name.endswith(".safetensors") for p in files)):
            return self._gguf_look(_gguf_wanted(gguf, wanted))
        return self._safetensors_look(folder, files)

    def _folder(self, model_id: str) -> Path | None:
        """The folder (or GGUF file) of a model in the Hugging Face cache; None if there is none."""
        if model_id.startswith(INSIDE_HF):
            found = self._hf_cache / model_id.removeprefix(INSIDE_HF)
            return found if found.exists() and self._is_inside(found) else None
        if not _HF_ID.fullmatch(model_id) or ".." in model_id:
            return None
        snapshots = self._hf_cache / "hub" / f"models--{model_id.replace('/', '--')}" / "snapshots"
        try:
            found_all = [path for path in snapshots.iterdir() if path.is_dir() and self._is_inside(path)]
        except OSError:
            return None
        return max(found_all, key=lambda path: path.stat().st_mtime, default=None)

    def _llama_cache_look(self, model_id: str, wanted: str) -> dict[str, Any]:
        """llama.cpp keeps what it downloads as `llama.cpp/org_name_file.gguf`."""
        if not _HF_ID.fullmatch(model_id):
            return _answer("absent")
        start = model_id.replace("/", "_") + "_"
        folder = self._hf_cache / "llama.cpp"
        found = [path for path in self._files(folder) if path.name.startswith(start)]
        return self._gguf_look(_gguf_wanted([p for p in found if p.name.endswith(".gguf")], wanted))

    def _files(self, folder: Path) -> list[Path]:
        try:
            found = sorted(folder.iterdir())[:FILES_LIMIT]
        except OSError:
            return []
        return [path for path in found if path.is_file() and self._is_inside(path)]

    def _is_inside(self, path: Path) -> bool:
        real = path.resolve()
        return any(real.is_relative_to(root.resolve()) for root in (self._hf_cache, self._ollama))

    def _safetensors_look(self, folder: Path, files: list[Path]) -> dict[str, Any]:
        config = self._config(folder / "config.json")
        index, promised = self._index(folder)
        parts = _main_parts([path for path in files if path.name.endswith(".safetensors")], index)
        missing = sorted(index - {path.name for path in parts})
        try:
            total = sum(self._once(path, tensor_bytes) for path in parts)
        except WeightsInvalid as error:
            return _answer("partial", promised, len(parts), "safetensors", config, str(error))
        if missing or not parts:
            said = f"{len(missing)} of {len(index)} files are not there yet" if missing else "no weights yet"
            return _answer("partial" if config or parts else "absent", promised, len(parts), "safetensors",
                           config, said)  # fmt: skip
        return _answer("ok", max(total, promised or 0), len(parts), "safetensors", config)

    def _index(self, folder: Path) -> tuple[set[str], int | None]:
        path = folder / "model.safetensors.index.json"
        if not path.is_file() or not self._is_inside(path):
            return set(), None
        names, total = self._once(path, index_read)
        return names, total

    def _config(self, path: Path) -> dict[str, Any]:
        if not path.is_file() or not self._is_inside(path) or path.stat().st_size > CONFIG_LIMIT_BYTES:
            return {}
        found: dict[str, Any] = self._once(path, _config_read)
        return found

    # ---- GGUF ----

    def _gguf_look(self, parts: list[Path]) -> dict[str, Any]:
        if not parts:
            return _answer("absent")
        config = self._once(parts[0], gguf_config)
        total = sum(path.stat().st_size for path in parts)
        _, count = gguf_parts(parts[0].name)
        if len(parts) < count:
            said = f"{count - len(parts)} of {count} files are not there yet"
            return _answer("partial", None, len(parts), "gguf", config, said)
        return _answer("ok", total, len(parts), "gguf", config)

    # ---- Ollama ----

    def _ollama_look(self, tag: str) -> dict[str, Any]:
        manifest = self._ollama_manifest(tag)
        if manifest is None:
            return _answer("absent")
        layers = [layer for layer in manifest.get("layers") or [] if isinstance(layer, dict)]
        models = [layer for layer in layers if str(layer.get("mediaType")).endswith("image.model")]
        others = [layer for layer in layers if str(layer.get("mediaType")).endswith("image.projector")]
        parts = [self._blob(layer) for layer in (*models, *others)]
        if not models or None in parts:
            return _answer("partial", message="its blobs are not there yet")
        found = [path for path in parts if path]
        config = self._once(found[0], gguf_config)
        total = sum(path.stat().st_size for path in found)
        return _answer("ok", total, len(found), "gguf", config)

    def _ollama_manifest(self, tag: str) -> dict[str, Any] | None:
        if not _OLLAMA_TAG.fullmatch(tag) or ".." in tag:
            return None
        name, _, version = tag.partition(":")
        words = name.split("/")
        words = ["registry.ollama.ai", "library"][: 3 - len(words)] + words
        path = self._ollama.joinpath("manifests", *words, version or "latest")
        if not path.is_file() or not self._is_inside(path) or path.stat().st_size > MANIFEST_LIMIT_BYTES:
            return None
        return json_object(f"the manifest of {tag}", path.read_bytes())

    def _blob(self, layer: dict[str, Any]) -> Path | None:
        digest = str(layer.get("digest"))
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            return None
        path = self._ollama / "blobs" / digest.replace(":", "-")
        return path if path.is_file() and self._is_inside(path) else None

    def _once(self, path: Path, read: Any) -> Any:
        """What `read` makes of a file, remembered while the file stays as it is."""
        real = path.resolve()
        about = real.stat()
        key = (f"{read.__name__}:{real}", about.st_mtime_ns, about.st_size)
        with self._lock:
            if key in self._remembered:
                return self._remembered[key]
        value = read(path)
        with self._lock:
            if len(self._remembered) > REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = value
        return value


def answer_digest(answer: dict[str, Any]) -> str:
    """A short name of an answer, the same on node and control while the answer is."""
    return hashlib.sha256(orjson.dumps(answer, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _main_parts(parts: list[Path], index: set[str]) -> list[Path]:
    """The files that are loaded: those the index names, else all but a second copy in one piece."""
    if index:
        return [path for path in parts if path.name in index]
    several = [path for path in parts if not path.name.startswith("consolidated")]
    return several or parts


def _gguf_wanted(files: list[Path], wanted: str) -> list[Path]:
    """All parts of the one model that is meant: by file name or quantization, else the first."""
    models = [path for path in files if "mmproj" not in path.name.lower()]
    meant = [path for path in models if wanted.lower() in path.name.lower()] if wanted else models
    if not meant and not wanted:
        return []
    shared = gguf_parts(meant[0].name)[0] if meant else None
    return [path for path in models if gguf_parts(path.name)[0] == shared]


def _config_read(path: Path) -> dict[str, Any]:
    return config_kept(json_object(path.name, path.read_bytes()))


def _answer(
    status: str,
    weights_bytes: int | None = None,
    files: int = 0,
    kind: str = "",
    config: dict[str, Any] | None = None,
    message: str = "",
) -> dict[str, Any]:
    return {
        "status": status,
        "weights_bytes": weights_bytes,
        "files": files,
        "kind": kind,
        "config": config_kept(config or {}),
        "message": message[:300],
    }
