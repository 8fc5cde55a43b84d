"""Files stay whole: when the disk is full, when the process dies between two writes."""

import errno
import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest
import torch

from teachseg import storage
from teachseg.storage import (
    load_json,
    load_pair,
    load_tensors,
    save_json,
    save_pair,
    save_tensors,
    sha256,
    write_atomically,
)

resource = pytest.importorskip("resource")  # limits and forks: not on Windows


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def in_a_child(work):
    """Run `work` in a copy of this process; how it ended (0: to the end, 9: os._exit(9))."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


TENSORS = {
    "whole": torch.arange(6.0).reshape(2, 3),
    "turned": torch.arange(6.0).reshape(2, 3).T,  # a view that is not contiguous
    "part": torch.arange(10)[2:5],
    "half": torch.tensor([1.5], dtype=torch.bfloat16),
    "truth": torch.tensor([True, False]),
    "number": torch.tensor(3.0),
    "nothing": torch.zeros(0, 4),
}


def test_tensors_come_back_equal(tmp_path):
    save_tensors(tmp_path / "a.safetensors", TENSORS)
    back = load_tensors(tmp_path / "a.safetensors")
    assert back.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert back[name].dtype == tensor.dtype and torch.equal(back[name], tensor)
    assert names(tmp_path) == ["a.safetensors"]


def test_tied_tensors_and_parameters_are_written_out():
    weight = torch.nn.Parameter(torch.rand(3))
    data = storage._to_bytes({"a": weight, "b": weight})
    back = storage._from_bytes(data, Path("x"))
    assert torch.equal(back["a"], weight) and torch.equal(back["b"], weight)


def test_same_tensors_same_bytes(tmp_path):
    save_tensors(tmp_path / "a", TENSORS)
    save_tensors(tmp_path / "b", dict(reversed(TENSORS.items())))
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")


def test_no_tensors_is_a_file_too(tmp_path):
    save_tensors(tmp_path / "a", {})
    assert load_tensors(tmp_path / "a") == {}


def test_what_is_no_tensor_is_told(tmp_path):
    with pytest.raises(ValueError, match="'step': int.*JSON"):
        save_tensors(tmp_path / "a", {"step": 3})
    assert names(tmp_path) == []


def test_sha256_by_another_hand(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


@pytest.mark.parametrize("kept", [0, 4, 20, 200, -1])
def test_a_truncated_file_is_told_not_read(tmp_path, kept):
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"weights": torch.rand(50, 50)})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="a.safetensors is no safetensors file, or a truncated"):
        load_tensors(path)


def test_foreign_files_are_told_and_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "it ran"),))

    (tmp_path / "pickle").write_bytes(pickle.dumps(Bomb(), protocol=2))
    torch.save({"a": torch.zeros(1)}, tmp_path / "zip")
    for name in ("pickle", "zip"):
        with pytest.raises(ValueError, match="could run code.*save_tensors"):
            load_tensors(tmp_path / name)
    assert not (tmp_path / "it ran").exists()
    (tmp_path / "lfs").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ValueError, match="git lfs pull"):
        load_tensors(tmp_path / "lfs")
    with pytest.raises(ValueError, match="There is no file .*nowhere"):
        load_tensors(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is a folder"):
        load_tensors(tmp_path)


def test_json_comes_back_and_says_what_it_cannot_hold(tmp_path):
    obj = {"steps": 3, "loss": 0.1, "names": ["é", None]}
    save_json(tmp_path / "a.json", obj)
    assert load_json(tmp_path / "a.json") == obj
    for bad in ({"loss": float("nan")}, {"path": tmp_path}):
        with pytest.raises(ValueError, match="a.json was not written: JSON cannot hold"):
            save_json(tmp_path / "a.json", bad)
    assert load_json(tmp_path / "a.json") == obj  # still the good one


@pytest.mark.parametrize("data", [b"", b'{"a": 1', b"\xff\xfe\x00", b"PK\x03\x04"])
def test_what_is_no_json_is_told(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(ValueError, match="a.json is no JSON, or a truncated one"):
        load_json(tmp_path / "a.json")


@pytest.mark.parametrize("number, words", [
    (errno.ENOSPC, "disk is full. Free some space"), (errno.EDQUOT, "share of the disk"),
    (errno.EACCES, "may not write in"), (errno.EROFS, "can only be read"),
    (errno.EIO, "Input/output error. Choose another folder"),
])
def test_the_file_before_stays_and_no_half_one_is_left(tmp_path, number, words):
    path = tmp_path / "a"
    path.write_text("good")

    def write(part):
        part.write_bytes(b"half")
        raise OSError(number, os.strerror(number))

    with pytest.raises(ValueError, match=f"a was not written: .*{words}"):
        write_atomically(path, write)
    assert path.read_text() == "good" and names(tmp_path) == ["a"]


def test_other_errors_pass_and_leave_nothing(tmp_path):
    def write(part):
        part.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", write)
    assert names(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for place, words in (("missing/a", "there is no folder"), ("file/a", "is a file, not a folder"),
                         ("folder", "a folder has this name")):
        with pytest.raises(ValueError, match=words):
            save_json(tmp_path / place, 1)
    with pytest.raises(ValueError, match="file was not made: .* is a file, not a folder"):
        storage.make_folder(tmp_path / "file")
    with pytest.raises(ValueError, match="deep was not made: a part of .* is a file"):
        storage.make_folder(tmp_path / "file" / "deep")
    assert names(tmp_path) == ["file", "folder"] and names(tmp_path / "folder") == []


def test_a_real_limit_on_file_size(tmp_path):
    """The kernel itself stops the write after 2000 bytes."""
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"weights": torch.zeros(10)})
    before = path.read_bytes()

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        with pytest.raises(ValueError, match="larger than this process may write"):
            save_tensors(path, {"weights": torch.zeros(1000)})

    assert in_a_child(work) == 0
    assert path.read_bytes() == before and names(tmp_path) == ["a.safetensors"]


def test_the_file_has_the_rights_of_an_ordinary_one(tmp_path):
    save_json(tmp_path / "a", 1)
    (tmp_path / "b").write_text("1")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_remove_parts_takes_only_what_a_killed_process_left(tmp_path):
    def work():
        write_atomically(tmp_path / "a", lambda part: part.write_bytes(b"x") and os._exit(9))

    (tmp_path / "mine.part").write_text("")
    assert in_a_child(work) == 9
    assert len(names(tmp_path)) == 2 and not (tmp_path / "a").exists()
    storage.remove_parts(tmp_path)
    assert names(tmp_path) == ["mine.part"]


# A pair


def pair(number):
    return {"weights": torch.full((5,), float(number))}, {"step": number}


def which(path):
    """The number of the pair that is read, which must be whole."""
    tensors, manifest = load_pair(path)
    assert torch.equal(tensors["weights"], pair(manifest["step"])[0]["weights"])
    return manifest["step"]


def test_a_pair_comes_back_under_any_of_its_names(tmp_path):
    save_pair(tmp_path / "v1.2", *pair(1))
    assert names(tmp_path) == ["v1.2.json", "v1.2.safetensors"]
    for name in ("v1.2", "v1.2.json", "v1.2.safetensors"):
        assert which(tmp_path / name) == 1
    digest = hashlib.sha256((tmp_path / "v1.2.safetensors").read_bytes()).hexdigest()
    assert json.loads((tmp_path / "v1.2.json").read_text()) == {"step": 1, "sha256": digest}


MOMENTS = [(call, after) for call in (1, 2, 3) for after in (False, True)]


def killed_save(path, number, moment):
    """Save a pair in a child that dies just before or just after one of the renames of a save."""
    count, rename = 0, os.replace

    def deadly(source, target):
        nonlocal count
        count += 1
        if (count, False) == moment:
            os._exit(9)
        rename(source, target)
        if (count, True) == moment:
            os._exit(9)

    def work():
        os.replace = deadly
        save_pair(path, *pair(number))

    assert in_a_child(work) == 9


@pytest.mark.parametrize("first", MOMENTS)
@pytest.mark.parametrize("second", [(1, True), (3, False)])
def test_killed_twice_at_any_rename_one_whole_pair_is_left(tmp_path, first, second):
    """The second save starts on top of what the first, killed one left."""
    path = tmp_path / "net"
    save_pair(path, *pair(1))
    killed_save(path, 2, first)
    before = which(path)
    assert before == (2 if first >= (2, True) else 1)  # the second rename is the manifest's
    killed_save(path, 3, second)
    assert which(path) in (before, 3)
    save_pair(path, *pair(4))
    assert which(path) == 4
    storage.remove_parts(tmp_path)
    assert names(tmp_path) == ["net.json", "net.safetensors"]


@pytest.mark.parametrize("call", range(1, 7))
def test_a_disk_that_fills_up_anywhere_in_a_save(tmp_path, monkeypatch, fill_disk, call):
    """Each flush of a save fails in turn, those that tidy up included."""
    path = tmp_path / "net"
    save_pair(path, *pair(1))
    fill_disk(call)
    try:
        save_pair(path, *pair(2))
    except ValueError as error:
        assert "the disk is full" in str(error)
    assert which(path) in (1, 2)
    monkeypatch.undo()
    save_pair(path, *pair(3))
    assert which(path) == 3 and names(tmp_path) == ["net.json", "net.safetensors"]


def test_a_manifest_that_json_cannot_hold_leaves_the_pair(tmp_path):
    save_pair(tmp_path / "net", *pair(1))
    with pytest.raises(ValueError, match="JSON cannot hold"):
        save_pair(tmp_path / "net", pair(2)[0], {"step": float("inf")})
    assert which(tmp_path / "net") == 1 and len(names(tmp_path)) == 2


def test_two_that_do_not_belong_together_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "PAUSE", 0)
    save_pair(tmp_path / "a", *pair(1))
    save_pair(tmp_path / "b", *pair(2))
    os.replace(tmp_path / "b.safetensors", tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="a.safetensors does not belong to a.json: its sha256"):
        load_pair(tmp_path / "a")
    with pytest.raises(ValueError, match="There is no file .*b.safetensors"):
        load_pair(tmp_path / "b")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ValueError, match="is no manifest"):
        load_pair(tmp_path / "a")
    save_pair(tmp_path / "a", *pair(3))  # and can be written over
    assert which(tmp_path / "a") == 3


def test_reading_while_another_process_writes(tmp_path):
    """Hundreds of readings during hundreds of saves: each is whole."""
    path = tmp_path / "net"
    save_pair(path, *pair(0))
    child = os.fork()
    if child == 0:
        try:
            os.fsync = lambda handle: None  # quick, for as many switches as can be
            for number in range(1, 151):
                save_pair(path, *pair(number))
            os._exit(0)
        except BaseException:
            os._exit(1)
    seen = set()
    ended = (0, 0)
    while ended[0] == 0:
        seen.add(which(path))
        ended = os.waitpid(child, os.WNOHANG)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    assert which(path) == 150 and len(seen) > 2
