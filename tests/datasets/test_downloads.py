"""Downloads from a server of our own, which breaks off; archives that are not what they seem."""

import hashlib
import http.server
import io
import os
import shutil
import stat
import tarfile
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from teachseg.datasets import downloads
from teachseg.datasets.downloads import Remote, Source, checksum, fetch, get, unpack

CONTENT = bytes(range(256)) * 40_000  # 10 MB: several blocks
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Sends its files, from where it is asked to, and at most `most` bytes in one go."""

    files: dict[str, bytes] = {}
    most: int | None = None
    ranges = True
    asked: list[str] = []

    def do_GET(self):
        content = self.files.get(self.path.lstrip("/"))
        asked = self.headers.get("Range", "bytes=0-")
        type(self).asked.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if self.ranges else 0
        if content is None or start >= len(content):
            self.send_error(404 if content is None else 416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        with_end = None if self.most is None else start + self.most
        self.wfile.write(content[start:with_end])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    handler = type("Fresh", (Server,), {"files": {"a.bin": CONTENT}, "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        handler.url = f"http://127.0.0.1:{running.server_port}"
        yield handler
        running.shutdown()
        thread.join()


# ---- one file -----------------------------------------------------------------------------------


def test_a_file_arrives_whole_and_is_not_fetched_again(server, tmp_path):
    remote, told = Remote(f"{server.url}/a.bin", MD5), []
    path = fetch(remote, tmp_path, lambda have, total: told.append((have, total)))
    assert path == tmp_path / "a.bin" and path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT)) and len(told) > 5
    assert [have for have, _ in told] == sorted(have for have, _ in told)
    assert fetch(remote, tmp_path) == path and len(server.asked) == 1
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_broken_download_goes_on_where_it_was(server, tmp_path):
    remote = Remote(f"{server.url}/a.bin", MD5)
    server.most = 3_000_000
    for arrived in (3_000_000, 6_000_000, 9_000_000):
        with pytest.raises(ValueError, match=r"did not arrive whole.*goes on from there"):
            fetch(remote, tmp_path)
        assert (tmp_path / "a.bin.part").stat().st_size == arrived
        assert not (tmp_path / "a.bin").exists()
    fetch(remote, tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert server.asked[1:] == ["bytes=3000000-", "bytes=6000000-", "bytes=9000000-"]


def test_a_server_that_cannot_resume_begins_again(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"x" * 5_000)
    server.ranges = False
    fetch(Remote(f"{server.url}/a.bin", MD5), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_all_had_arrived_already(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    assert fetch(Remote(f"{server.url}/a.bin", MD5), tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    wrong = Remote(f"{server.url}/a.bin", "0" * 32)
    with pytest.raises(ValueError, match=f"has the md5 {MD5}, and 0+ is right"):
        fetch(wrong, tmp_path)
    assert os.listdir(tmp_path) == []
    (tmp_path / "a.bin").write_bytes(CONTENT)  # one that was there
    with pytest.raises(ValueError, match="is right"):
        fetch(wrong, tmp_path)
    assert os.listdir(tmp_path) == []


def test_without_a_checksum_the_length_counts(server, tmp_path):
    server.most = 10
    with pytest.raises(ValueError, match="did not arrive whole"):
        fetch(Remote(f"{server.url}/a.bin"), tmp_path)
    server.most = None
    assert fetch(Remote(f"{server.url}/a.bin"), tmp_path).stat().st_size == len(CONTENT)


def test_no_such_file_no_server_no_room(server, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="the server says 404"):
        fetch(Remote(f"{server.url}/b.bin"), tmp_path)
    with pytest.raises(ValueError, match="did not arrive whole: .*refused"):
        fetch(Remote("http://127.0.0.1:9/a.bin"), tmp_path)
    full = shutil.disk_usage(tmp_path)._replace(free=5_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)
    with pytest.raises(ValueError, match="a.bin needs 0.0 GB more .* and 0.0 GB are free"):
        fetch(Remote(f"{server.url}/a.bin", MD5), tmp_path)
    assert not (tmp_path / "a.bin").exists()


# ---- archives -----------------------------------------------------------------------------------


def zipped(path, members, links=()):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        for name in links:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, "/etc/passwd")
    return path


def tarred(path, members, links=()):
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name in links:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(entry)
    return path


KINDS = [(zipped, "x.zip"), (tarred, "x.tar"), (tarred, "x.tgz")]
both = pytest.mark.parametrize("pack, name", KINDS)


def files_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}


@both
def test_archives_are_unpacked_into_the_folder(pack, name, tmp_path):
    members = {"a/b/c.txt": b"one", "d.txt": b"two"}
    folder = tmp_path / "set"
    assert unpack(pack(tmp_path / name, members), folder) == 2
    assert files_in(folder) == {"a/b/c.txt": b"one", "d.txt": b"two"}
    (folder / "mine.txt").write_text("stays")
    unpack(tmp_path / name, folder)
    assert set(files_in(folder)) == {*members, "mine.txt"}
    assert sorted(os.listdir(tmp_path)) == ["set", name]


@both
@pytest.mark.parametrize("bad", ["../out.txt", "a/../../out.txt", "/out.txt", "..\\out.txt",
                                 "C:\\out.txt"])
def test_no_path_leaves_the_folder(pack, name, bad, tmp_path):
    path = pack(tmp_path / name, {"fine.txt": b"1", bad: b"2"})
    with pytest.raises(ValueError, match="leads out of the folder. Nothing was unpacked"):
        unpack(path, tmp_path / "set")
    assert os.listdir(tmp_path) == [name]


@both
def test_no_links(pack, name, tmp_path):
    path = pack(tmp_path / name, {"fine.txt": b"1"}, links=["link"])
    with pytest.raises(ValueError, match="'link', which is a link or a device"):
        unpack(path, tmp_path / "set")
    assert os.listdir(tmp_path) == [name]


@both
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_half_an_archive_leaves_nothing(pack, name, share, tmp_path):
    path = pack(tmp_path / name, {f"{i}.bin": os.urandom(20_000) for i in range(5)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match="cannot be unpacked|leads out"):
        unpack(path, tmp_path / "set")
    assert os.listdir(tmp_path) == [name]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    path = zipped(tmp_path / "x.zip", {"a.txt": b"1" * 1000})
    full = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)
    with pytest.raises(ValueError, match="Make room"):
        unpack(path, tmp_path / "set")
    assert os.listdir(tmp_path) == ["x.zip"]


# ---- a data set ---------------------------------------------------------------------------------


def test_a_data_set_is_fetched_once(server, tmp_path, monkeypatch):
    archive = zipped(tmp_path / "s.zip", {"PNGImages/a.png": b"1"}).read_bytes()
    server.files |= {"s.zip": archive, "list.txt": b"a\n"}
    source = Source("A set", "CC0", "1 picture", (
        Remote(f"{server.url}/s.zip", hashlib.md5(archive).hexdigest(), "inside"),
        Remote(f"{server.url}/list.txt", into="inside/lists")), "inside")
    monkeypatch.setitem(downloads.SOURCES, "a-set", source)
    told = []
    folder = tmp_path / "sets" / "a-set"
    opened = get("a-set", folder, lambda *what: told.append(what))
    assert opened == folder / "inside"
    assert files_in(opened) == {"PNGImages/a.png": b"1", "lists/list.txt": b"a\n"}
    assert {name for name, _, _ in told} == {"s.zip", "list.txt"}
    get("a-set", folder, lambda *what: told.append(what))
    assert len(server.asked) == 2  # nothing was asked for again
    with pytest.raises(ValueError, match="There is no data set 'b'. There are: coco-val"):
        get("b", folder, print)


@pytest.mark.parametrize("name", list(downloads.SOURCES))
def test_every_source_says_what_it_is(name):
    source = downloads.SOURCES[name]
    assert source.title and source.licence and "pictures" in source.pictures
    for remote in source.files:
        assert remote.url.startswith(("https://", "http://images.cocodataset.org"))
        assert remote.md5 is None or len(bytes.fromhex(remote.md5)) == 16
        # what comes without encryption must have a checksum
        assert remote.md5 or remote.url.startswith("https://")


def test_checksums_are_those_that_torchvision_knows():
    import torchvision.datasets as theirs

    voc = theirs.voc.DATASET_YEAR_DICT["2012"]
    ours = downloads.SOURCES["voc2012"].files[0]
    assert (place(ours.url), ours.md5) == (place(voc["url"]), voc["md5"])
    archive, split = downloads.SOURCES["sbd"].files
    assert (place(archive.url), archive.md5) == (place(theirs.SBDataset.url), theirs.SBDataset.md5)
    assert (place(split.url), split.md5) == (place(theirs.SBDataset.voc_train_url),
                                             theirs.SBDataset.voc_split_md5)


def place(url: str) -> str:
    """The path on the server, whose name some torchvisions write otherwise."""
    return url.partition("://")[2].partition("/")[2]


def test_checksum(tmp_path):
    path = Path(tmp_path, "x")
    path.write_bytes(CONTENT)
    assert checksum(path) == MD5
    assert checksum(path, "sha256") == hashlib.sha256(CONTENT).hexdigest()
    assert replace(Remote("https://a/b.tgz")).is_archive and not Remote("https://a/b.txt").is_archive
