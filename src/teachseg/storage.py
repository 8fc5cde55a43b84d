"""Files that are never half written, and that are read without running what is in them.

A file is written beside its place under another name, brought safely onto the disk, and then
renamed: whoever looks sees the old file or the new one. A *pair* is NAME.safetensors (the tensors)
and NAME.json (the manifest: what they are, and their sha256). Two files cannot be renamed in one
go, so the manifest decides which tensors count:

    1. the new tensors are written as NAME.safetensors.next    the old pair still holds
    2. the new manifest replaces NAME.json                     from here on the new pair holds
    3. NAME.safetensors.next is renamed to NAME.safetensors    only tidies up

A reader takes whichever of the two tensor files has the sha256 that the manifest names, so that a
process killed between any two of these lines leaves one whole pair behind.

No boxes here.

Lesson: 22
"""

import contextlib
import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors_torch
from torch import Tensor

TRIES = 3  # readings of a pair, for one that is being written meanwhile
PAUSE = 0.1  # seconds between them


def _why_not(what: str, folder: Path, error: OSError) -> str:
    """What was not done in which folder, why, and how to mend it."""
    reasons = {
        errno.ENOSPC: "the disk is full. Free some space, or choose a folder on another disk",
        errno.EDQUOT: "your share of the disk is used up. Delete something there",
        errno.EFBIG: "it is larger than this process may write. Raise the limit (ulimit -f)",
        errno.EACCES: f"you may not write in {folder}. Choose another folder, or change its rights",
        errno.EPERM: f"you may not write in {folder}. Choose another folder, or change its rights",
        errno.EROFS: f"{folder} is on a disk that can only be read. Choose another folder",
        errno.ENOENT: f"there is no folder {folder}. Make it first, or check the spelling",
        errno.ENOTDIR: f"a part of {folder} is a file, not a folder. Choose another folder",
        errno.EEXIST: f"{folder} is a file, not a folder. Choose another folder",
        errno.EISDIR: "a folder has this name. Choose another name, or remove the folder",
    }
    reason = reasons.get(error.errno, f"{error.strerror or error}. Choose another folder")
    return f"{what}: {reason}. Nothing that stood there was changed."


def make_folder(folder: str | Path) -> Path:
    """The folder, made with its parents where it is missing; ValueError where that cannot be."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(_why_not(f"The folder {folder} was not made", folder, error)) from error
    return folder


def _flush_folder(folder: Path) -> None:
    """Bring a folder's list of names onto the disk; Windows does it by itself."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file, and put it at `path` only once it is whole and on the disk.

    Args:
        path: where the file shall stand; its folder must exist.
        write: is given the path of a temporary file in the same folder, and makes it.

    Raises:
        ValueError: it could not be written (disk full, no such folder, no right to); a file that
            stood at `path` before is untouched and the temporary one removed. Whatever else
            `write` raises passes through, after the same cleaning up.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        _flush_folder(path.parent)
    except OSError as error:
        raise ValueError(_why_not(f"{path} was not written", path.parent, error)) from error
    finally:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            part.unlink(missing_ok=True)


def remove_parts(folder: str | Path) -> None:
    """Remove temporary files that a killed process left in `folder`, where no other one writes."""
    for part in Path(folder).glob(".*.part"):
        part.unlink(missing_ok=True)


def _read(path: Path, missing: bytes | None = None) -> bytes:
    """All of a file, or `missing` where there is none; ValueError where it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        if missing is not None:
            return missing
        raise ValueError(f"There is no file {path}. Check the spelling and the folder.") from error
    except IsADirectoryError as error:
        raise ValueError(f"{path} is a folder; the name of a file in it is needed.") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}. Check its rights.") from error


def sha256(path: str | Path) -> str:
    """The sha256 of a file's bytes, as 64 hexadecimal digits; ValueError where there is no file."""
    return hashlib.sha256(_read(Path(path))).hexdigest()


def _to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Named tensors as the bytes of a safetensors file: the same tensors, the same bytes."""
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ValueError(f"Only named tensors can be saved, got {name!r}: "
                             f"{type(tensor).__name__}. Numbers and words belong into the JSON.")
    whole = {  # own memory for each, as safetensors knows no views
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    return safetensors_torch.save(whole, metadata={"format": "pt"})


def _from_bytes(data: bytes, path: Path) -> dict[str, Tensor]:
    """What `_to_bytes` made, as tensors again; `path` is for the error's sentence."""
    try:
        return safetensors_torch.load(data)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if data[:2] in (b"PK", b"\x80\x02"):
            what = ("is a pickle as torch.save makes it, which could run code when it is read. "
                    "Convert it: save_tensors(new_path, torch.load(path, weights_only=True))")
        elif data.startswith(b"version https://git-lfs"):
            what = "is a note of Git LFS in the file's place. Fetch the file: git lfs pull"
        else:
            what = (f"is no safetensors file, or a truncated one ({len(data)} bytes; {error}). "
                    "Copy or download it again, or make it again")
        raise ValueError(f"{path} {what}.") from error


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors to one safetensors file, whole or not at all.

    Args:
        path: of a file in an existing folder.
        tensors: any shapes, dtypes and devices; views and tied tensors are written out in full.

    Raises:
        ValueError: something is not a tensor, or the file cannot be written.
    """
    data = _to_bytes(tensors)
    write_atomically(path, lambda part: part.write_bytes(data))


def load_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read a safetensors file: name -> tensor on the CPU. Never unpickles.

    Raises:
        ValueError: the file is missing, truncated or of another kind.
    """
    path = Path(path)
    return _from_bytes(_read(path), path)


def save_json(path: str | Path, obj: Any) -> None:
    """Write numbers, words, lists and dicts as readable JSON, whole or not at all.

    Raises:
        ValueError: `obj` holds what JSON does not know, or the file cannot be written.
    """
    try:
        text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} was not written: JSON cannot hold this ({error}). Pass numbers, "
                         "words, lists and dicts; None in the place of nan or infinity.") from error
    write_atomically(path, lambda part: part.write_bytes(text.encode()))


def load_json(path: str | Path) -> Any:
    """Read a JSON file; ValueError where it is missing, truncated or no JSON."""
    try:
        return json.loads(_read(Path(path)).decode())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no JSON, or a truncated one ({error}). "
                         "Copy or download it again, or make it again.") from error


def pair_files(path: str | Path) -> tuple[Path, Path, Path]:
    """NAME, NAME.safetensors or NAME.json -> the tensors, the manifest, and tensors on their way.

    >>> [file.name for file in pair_files("runs/v1.2/net")]
    ['net.safetensors', 'net.json', 'net.safetensors.next']
    """
    path = Path(path)
    name = path.name.removesuffix(".safetensors").removesuffix(".json")
    files = (f"{name}{end}" for end in (".safetensors", ".json", ".safetensors.next"))
    tensors, manifest, staged = (path.with_name(file) for file in files)
    return tensors, manifest, staged


def _settle(path: str | Path) -> None:
    """End a save that was cut short: the new tensors get their name if the manifest wants them."""
    tensors_file, manifest_file, staged = pair_files(path)
    if not staged.exists():
        return
    try:
        manifest = load_json(manifest_file)
    except ValueError:  # none, or none that can be read: then it names no tensors
        manifest = None
    try:
        if isinstance(manifest, dict) and manifest.get("sha256") == sha256(staged):
            os.replace(staged, tensors_file)
        else:
            staged.unlink()
        _flush_folder(staged.parent)
    except OSError as error:
        what = f"{tensors_file} was not written"
        raise ValueError(_why_not(what, staged.parent, error)) from error


def save_pair(path: str | Path, tensors: Mapping[str, Tensor], manifest: Mapping[str, Any]) -> None:
    """Write NAME.safetensors and NAME.json so that one whole pair, old or new, can always be read.

    Args:
        path: NAME, NAME.safetensors or NAME.json in an existing folder.
        tensors: what NAME.safetensors shall hold.
        manifest: what NAME.json shall say; the tensors' "sha256" is added to it.

    Raises:
        ValueError: it could not be written; the last pair stays.
    """
    _, manifest_file, staged = pair_files(path)
    data = _to_bytes(tensors)
    _settle(path)
    write_atomically(staged, lambda part: part.write_bytes(data))
    try:
        save_json(manifest_file, dict(manifest) | {"sha256": hashlib.sha256(data).hexdigest()})
    finally:
        _settle(path)  # forwards if the manifest was written, else back


def load_pair(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_pair` wrote, checked against its sha256.

    Args:
        path: NAME, NAME.safetensors or NAME.json.

    Returns:
        The named tensors on the CPU, and the manifest.

    Raises:
        ValueError: a file is missing or no manifest, or the two do not belong together.
    """
    tensors_file, manifest_file, staged = pair_files(path)
    for attempt in range(TRIES):
        time.sleep(PAUSE * attempt)  # again: a training that runs may be renaming just now
        manifest = load_json(manifest_file)
        if not isinstance(manifest, dict) or "sha256" not in manifest:
            raise ValueError(f"{manifest_file} is no manifest of a checkpoint: it has no sha256 of "
                             f"{tensors_file.name}. Take the .json that was saved with it.")
        for file in (tensors_file, staged):
            data = _read(file, missing=b"")
            if hashlib.sha256(data).hexdigest() == manifest["sha256"]:
                return _from_bytes(data, file), manifest
    raise ValueError(
        f"{tensors_file} does not belong to {manifest_file.name}: its sha256 begins with "
        f"{sha256(tensors_file)[:8]}, the manifest says {str(manifest['sha256'])[:8]}. One of them "
        "is truncated or from another training: copy or download both again."
    )
