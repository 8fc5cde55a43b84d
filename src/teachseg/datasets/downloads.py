"""Getting data sets: resumed, checked, and unpacked without leaving the folder.

    NAME.part     what has arrived of a file; the next call goes on behind it
    NAME          the whole file, its checksum right
    FOLDER        what was in it, all or nothing

Letters
    none; no boxes here

Lesson: 42
"""

import hashlib
import shutil
import stat
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO

BLOCK = 1 << 20  # bytes that are read at once
Tell = Callable[[int, int | None], None]  # (bytes there, bytes of all, if known)


@dataclass(frozen=True)
class Remote:
    """One file to be had."""

    url: str
    md5: str | None = None  # None: its maker names none
    into: str = "."         # folder for what is in it, inside the data set's

    @property
    def name(self) -> str:
        """Its file name."""
        return self.url.rpartition("/")[2]

    @property
    def is_archive(self) -> bool:
        """Whether there is something to unpack."""
        return self.name.endswith((".zip", ".tar", ".tgz", ".tar.gz"))


@dataclass(frozen=True)
class Source:
    """A data set that can be fetched."""

    title: str
    licence: str
    pictures: str    # how many, of which size on disk
    files: tuple[Remote, ...]
    opens: str       # the path inside its folder that `teachseg train --data` takes


COCO = "http://images.cocodataset.org"
COCO_TEXTS = Remote(f"{COCO}/annotations/annotations_trainval2017.zip",
                    "f4bbac642086de4f52a3fdda2de5fa2c")
SOURCES = {
    "coco-val": Source(
        "COCO 2017, validation part", "texts CC BY 4.0, each picture its own (see its JSON)",
        "5,000 pictures, 1.1 GB",
        (Remote(f"{COCO}/zips/val2017.zip", "442b8da7639aecaf257c1dceb8ba8c80"), COCO_TEXTS),
        "annotations/instances_val2017.json"),
    "coco-train": Source(
        "COCO 2017, training part", "texts CC BY 4.0, each picture its own (see its JSON)",
        "118,287 pictures, 19.6 GB",
        (Remote(f"{COCO}/zips/train2017.zip", "cced6f7f71b7629ddf16f17bbcfab6b2"), COCO_TEXTS),
        "annotations/instances_train2017.json"),
    "voc2012": Source(
        "PASCAL VOC 2012", "pictures from flickr, by flickr's terms of use",
        "17,125 pictures, 2,913 with masks, 2.0 GB",
        (Remote("https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                "6cd6e144f989b92b3379bac3b3de84fd"),), "."),
    "sbd": Source(
        "Semantic Boundaries Dataset: masks for VOC", "pictures from flickr, by flickr's terms",
        "11,355 pictures, 1.4 GB",
        (Remote("https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
                "semantic_contours/benchmark.tgz", "82b4d87ceb2ed10f6038a1cba92111cb"),
         Remote("https://www.cs.cornell.edu/~bharathh/train_noval.txt",
                "79bff800c5f0b1ec6b21080a3c066722", "benchmark_RELEASE/dataset")),
        "benchmark_RELEASE/dataset"),
    "penn-fudan": Source(
        "Penn-Fudan pedestrians", "free for research, its authors say",
        "170 pictures, 54 MB",
        (Remote("https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip"),), "PennFudanPed"),
    "nuclei": Source(
        "Data Science Bowl 2018, nuclei (BBBC038)", "CC0", "670 pictures, 80 MB",
        (Remote("https://data.broadinstitute.org/bbbc/BBBC038/stage1_train.zip",
                into="stage1_train"),), "stage1_train"),
}


# ---- one file -----------------------------------------------------------------------------------


def checksum(path: Path, kind: str = "md5") -> str:
    """Of a whole file, in hexadecimal; kind: a name of hashlib's."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def fetch(remote: Remote, folder: str | Path, tell: Tell = lambda have, total: None) -> Path:
    """Download a file, or the rest of it, and check it.

    Args:
        folder: where it goes; there NAME.part grows until all has arrived.
        tell: is called with what is there, now and then.

    Returns:
        the whole file's path; one that is there already and right is not fetched again.

    Raises:
        ValueError: no such file, no connection, no room, or a wrong checksum. After a broken
            connection NAME.part stays, and the same call goes on; a wrong file is removed.
    """
    folder = Path(folder)
    whole, part = folder / remote.name, folder / f"{remote.name}.part"
    if whole.is_file():
        _check_sum(whole, remote)
        return whole
    have = part.stat().st_size if part.is_file() else 0
    ask = urllib.request.Request(remote.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(ask, timeout=60) as answer:
            if answer.status != 206:  # it sends all of it, whatever was asked for
                have = 0
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            _check_room(folder, (total or 0) - have, remote.name)
            with open(part, "ab" if have else "wb") as file:
                for block in _blocks(answer):
                    file.write(block)
                    have += len(block)
                    tell(have, total)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing is left to be sent
            raise ValueError(f"{remote.url} cannot be had: the server says {error.code} "
                             f"{error.reason}. Look whether the file has moved; get it by another "
                             f"way, put it at {whole}, and call again.") from error
        total = have
    except (OSError, HTTPException) as error:
        why = getattr(error, "reason", error)
        raise ValueError(f"{remote.url} did not arrive whole: {why}. {have:,} bytes are kept in "
                         f"{part}; the same command goes on from there.") from error
    if total is not None and have != total:
        raise ValueError(f"{remote.url} did not arrive whole: {have:,} of {total:,} bytes, which "
                         f"are kept in {part}; the same command goes on from there.")
    _check_sum(part, remote)
    part.replace(whole)
    return whole


def _blocks(answer: IO[bytes]) -> Iterator[bytes]:
    while block := answer.read(BLOCK):
        yield block


def _check_room(folder: Path, needed: int, name: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(f"{name} needs {needed / 1e9:.1f} GB more in {folder}, and "
                         f"{free / 1e9:.1f} GB are free. Make room, or choose another folder.")


def _check_sum(path: Path, remote: Remote) -> None:
    if remote.md5 is not None and (found := checksum(path)) != remote.md5:
        path.unlink()
        raise ValueError(f"{path.name} has the md5 {found}, and {remote.md5} is right: it was "
                         "damaged on its way, or its maker has changed it. It has been removed; "
                         "fetch it again.")


# ---- unpacking ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Member:
    """One entry of an archive."""

    name: str
    size: int
    plain: bool   # a file or a folder, not a link and not a device
    folder: bool
    open: Callable[[], IO[bytes] | None]


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for one in archive.infolist():
        kind = stat.S_IFMT(one.external_attr >> 16)
        yield _Member(one.filename, one.file_size, kind in (0, stat.S_IFREG, stat.S_IFDIR),
                      one.is_dir(), lambda one=one: archive.open(one))


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    for one in archive:
        yield _Member(one.name, one.size, one.isfile() or one.isdir(), one.isdir(),
                      lambda one=one: archive.extractfile(one))


def _place(member: _Member, folder: Path, archive: Path) -> Path:
    """Where a member goes; ValueError where that is outside, or it is no file and no folder."""
    parts = PurePosixPath(member.name.replace("\\", "/"))
    drive = ":" in "".join(parts.parts[:1])  # as in C:\\, which Windows would follow
    if parts.is_absolute() or ".." in parts.parts or drive:
        raise ValueError(f"{archive} holds {member.name!r}, which leads out of the folder. Nothing "
                         "was unpacked: do not trust this file, and get it from its maker.")
    if not member.plain:
        raise ValueError(f"{archive} holds {member.name!r}, which is a link or a device, not a "
                         "file. Nothing was unpacked: get the archive from its maker.")
    return folder / parts


def unpack(archive: str | Path, folder: str | Path) -> int:
    """Unpack a .zip, .tar, .tgz or .tar.gz into a folder: all of it, or nothing.

    What is in the archive is written beside the folder first, and moved in when all is there.
    Files that the folder has under the same names are replaced.

    Returns:
        the number of files.

    Raises:
        ValueError: it is damaged or cut off, holds a path that leads out of the folder, a link or a
            device, or there is no room.
    """
    archive, folder = Path(archive), Path(folder)
    waiting = folder.parent / f"{folder.name or 'here'}.unpacking"
    shutil.rmtree(waiting, ignore_errors=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                count = _unpack(list(_zip_members(opened)), waiting, archive)
        else:
            with tarfile.open(archive) as opened:
                count = _unpack(list(_tar_members(opened)), waiting, archive)
        _merge(waiting, folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"{archive} cannot be unpacked: {error}. If it is damaged or cut off, "
                         "remove it and fetch it again; nothing was left half-written.") from error
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
    return count


def _unpack(members: list[_Member], folder: Path, archive: Path) -> int:
    places = [_place(member, folder, archive) for member in members]  # all are looked at first
    folder.mkdir(parents=True)
    _check_room(folder, sum(member.size for member in members), archive.name)
    count = 0
    for member, place in zip(members, places):
        if member.folder:
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, open(place, "xb") as target:
            shutil.copyfileobj(source, target, BLOCK)
        count += 1
    return count


def _merge(new: Path, folder: Path) -> None:
    """Move every file of one folder into another."""
    for file in sorted(path for path in new.rglob("*") if path.is_file()):
        place = folder / file.relative_to(new)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)
    folder.mkdir(parents=True, exist_ok=True)


# ---- a data set ---------------------------------------------------------------------------------


def get(name: str, folder: str | Path, tell: Callable[[str, int, int | None], None]) -> Path:
    """Fetch and unpack a data set of SOURCES.

    Args:
        folder: of the data set; made where it is not there. Archives are removed when they are
            unpacked; a file that is unpacked already is not fetched again.
        tell: is called with (file name, bytes there, bytes of all if known).

    Returns:
        what `teachseg train --data` takes.

    Raises:
        ValueError: no such name; and as `fetch` and `unpack`.
    """
    if name not in SOURCES:
        raise ValueError(f"There is no data set {name!r}. There are: {', '.join(SOURCES)}.")
    folder, source = Path(folder), SOURCES[name]
    folder.mkdir(parents=True, exist_ok=True)
    for remote in source.files:
        done = folder / f".{remote.name}.done"
        if done.exists():
            continue
        path = fetch(remote, folder, lambda have, total, n=remote.name: tell(n, have, total))
        place = folder / remote.into
        if remote.is_archive:
            unpack(path, place)
            path.unlink()
        elif place != folder:
            place.mkdir(parents=True, exist_ok=True)
            path.replace(place / remote.name)
        done.touch()
    return folder / source.opens
