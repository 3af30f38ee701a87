"""Downloads from a server in this process: what is whole and right appears, everything else leaves no trace."""

import hashlib
import io
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from data_makers import message, places, small_cifar, small_idx, write_cifar, write_idx

from bnnbench.data.cifar import Cifar
from bnnbench.data.download import Download, unpack
from bnnbench.data.idx import IdxDataset
from bnnbench.errors import DataError, UserError


class Server(ThreadingHTTPServer):
    """Hands out `files`; one whose name is in `cut` breaks off after half of its bytes."""

    files: dict[str, bytes]
    cut: set[str]
    requests: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.server.requests.append(name)
        if name not in self.server.files:
            self.send_error(404)
            return
        body = self.server.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if name in self.server.cut else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as running:
        running.files, running.cut, running.requests = {}, set(), []
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def address(server: Server, name: str) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/{name}"


def publish_idx(server: Server, tmp_path: Path) -> IdxDataset:
    """An IDX data set whose four files are on the server, with their md5."""
    write_idx(tmp_path / "origin", small_idx())
    for path in (tmp_path / "origin").iterdir():
        server.files[path.name] = path.read_bytes()
    return small_idx(
        downloads=tuple(
            Download(address(server, name), hashlib.md5(body).hexdigest()) for name, body in server.files.items()
        )
    )


def publish_cifar(server: Server, tmp_path: Path, md5: str | None = None) -> Cifar:
    """A CIFAR data set as one archive on the server."""
    write_cifar(tmp_path / "origin" / "small-bin", small_cifar())
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(tmp_path / "origin" / "small-bin", "small-bin")
    server.files["small.tar.gz"] = buffer.getvalue()
    known = md5 or hashlib.md5(buffer.getvalue()).hexdigest()
    return small_cifar(downloads=(Download(address(server, "small.tar.gz"), known),))


def cache_content(tmp_path: Path) -> list[str]:
    cache = tmp_path / "cache"
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*")) if cache.exists() else []


def test_files_are_fetched_checked_and_kept(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = publish_idx(server, tmp_path)
    where = places(tmp_path)
    source = dataset.fetch(where, progress=True)
    assert "100 %" in capsys.readouterr().err
    assert source == dataset.locate(where)
    assert source.folder == tmp_path / "cache" / "small"
    assert cache_content(tmp_path) == ["small", *sorted(f"small/{name}" for name in server.files)]
    dataset.verify(source)
    asked = len(server.requests)
    assert dataset.fetch(where) == source  # what is sound is not fetched again
    assert len(server.requests) == asked


def test_an_archive_is_unpacked(server: Server, tmp_path: Path) -> None:
    dataset = publish_cifar(server, tmp_path)
    dataset.load(dataset.fetch(places(tmp_path)))
    files = [f"smallcifar/small-bin/{name}" for name in ("one.bin", "test.bin", "two.bin")]
    assert cache_content(tmp_path) == ["smallcifar", "smallcifar/small-bin", *files]


@pytest.mark.parametrize("kind", ["corrupted", "truncated", "missing"])
def test_a_failed_download_leaves_nothing(server: Server, tmp_path: Path, kind: str) -> None:
    dataset = publish_idx(server, tmp_path)
    where = places(tmp_path)
    name = dataset.downloads[-1].filename
    if kind == "corrupted":
        server.files[name] = server.files[name][:-1] + b"\0\0"
    elif kind == "truncated":
        server.cut.add(name)
    else:
        del server.files[name]
    with pytest.raises(UserError) as caught:
        dataset.fetch(where)
    assert isinstance(caught.value, DataError) == (kind == "corrupted")
    text = str(caught.value)
    assert "\n" not in text
    assert address(server, name) in text
    assert {"corrupted": "published md5", "truncated": "cannot be downloaded", "missing": "HTTP 404"}[kind] in text
    assert cache_content(tmp_path) == []


def test_a_download_that_is_another_data_set_is_refused(server: Server, tmp_path: Path) -> None:
    """Where no md5 is published, what arrives still has to pass the data set's own checks."""
    published = publish_idx(server, tmp_path)
    dataset = small_idx(downloads=tuple(Download(item.url) for item in published.downloads))
    name = "t10k-images-idx3-ubyte.gz"
    good = server.files[name]
    server.files[name] = b"<!DOCTYPE html>"
    with pytest.raises(DataError) as caught:
        dataset.fetch(places(tmp_path))
    message(caught, name, "nothing was kept", "not a gzip file")
    assert cache_content(tmp_path) == []
    server.files[name] = good
    dataset.load(dataset.fetch(places(tmp_path)))


def test_a_damaged_cache_is_replaced_but_only_by_something_sound(server: Server, tmp_path: Path) -> None:
    dataset = publish_idx(server, tmp_path)
    where = places(tmp_path)
    digest = dataset.verify(dataset.fetch(where))
    path = tmp_path / "cache" / "small" / "train-labels-idx1-ubyte.gz"
    path.write_bytes(b"damaged")
    server.cut.add(path.name)
    with pytest.raises(UserError):
        dataset.fetch(where)
    assert path.read_bytes() == b"damaged"  # a failed repair changes nothing
    server.cut.clear()
    assert dataset.verify(dataset.fetch(where)) == digest


def test_without_a_network_there_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: every connection is refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/small.tar.gz"
        with pytest.raises(UserError) as caught:
            small_cifar(downloads=(Download(url, "0" * 32),)).fetch(places(tmp_path))
    assert str(caught.value) == (
        f"{url}: cannot be downloaded (ConnectionError); check the network, or put the file in your data folder"
    )
    assert cache_content(tmp_path) == []


def test_a_data_set_without_an_address_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        small_idx().fetch(places(tmp_path))
    assert str(caught.value) == (
        "small cannot be downloaded by this program; get it from https://example.org and put it in "
        f"{tmp_path}/data/small"
    )


def test_a_cache_that_cannot_be_written_is_one_line(server: Server, tmp_path: Path) -> None:
    dataset = publish_idx(server, tmp_path)
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot write there"):
        dataset.fetch(places(tmp_path))


def tar_with(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, body in members:
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return path


def zip_with(path: Path, *members: tuple[zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for info, body in members:
            file.writestr(info, body)
    return path


@pytest.mark.parametrize("name", ["../evil", "{tmp}/evil", "a/../../evil", "..\\evil", "a/b/../../../evil"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_path_outside_the_folder_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    name = name.format(tmp=tmp_path)
    if kind == "tar":
        archive = tar_with(tmp_path / "x.tar.gz", (tarfile.TarInfo("fine"), b"1"), (tarfile.TarInfo(name), b"evil"))
    else:
        archive = zip_with(tmp_path / "x.zip", (zipfile.ZipInfo("fine"), b"1"), (zipfile.ZipInfo(name), b"evil"))
    with pytest.raises(DataError) as caught:
        unpack(archive, folder)
    message(caught, str(archive), "outside the folder")
    assert [path.name for path in tmp_path.rglob("*") if "evil" in path.name] == []


@pytest.mark.parametrize("kind", ["symlink", "hard link", "device", "fifo", "symlink in a zip"])
def test_a_link_or_device_is_refused(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    if kind == "symlink in a zip":
        member = zipfile.ZipInfo("link")
        member.external_attr = 0o120777 << 16
        archive = zip_with(tmp_path / "x.zip", (member, b"/etc/passwd"))
    else:
        info = tarfile.TarInfo("link")
        info.linkname = "fine" if kind == "hard link" else "/etc"
        info.type = {"symlink": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE,
                     "fifo": tarfile.FIFOTYPE}[kind]  # fmt: skip
        archive = tar_with(tmp_path / "x.tar.gz", (tarfile.TarInfo("fine"), b""), (info, b""))
    with pytest.raises(DataError) as caught:
        unpack(archive, folder)
    message(caught, str(archive), "'link'", "link or a device")
    assert not (folder / "link").exists()


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_damaged_archives_and_bombs_are_refused(tmp_path: Path, kind: str) -> None:
    archive = tmp_path / f"x.{kind}"
    if kind == "zip":
        zip_with(archive, (zipfile.ZipInfo("a"), bytes(5000)), (zipfile.ZipInfo("b"), bytes(5000)))
    else:
        tar_with(archive, (tarfile.TarInfo("a"), bytes(5000)), (tarfile.TarInfo("b"), bytes(5000)))
    (tmp_path / "small").mkdir()
    with pytest.raises(DataError, match="unpacks to more than 9,999 bytes"):
        unpack(archive, tmp_path / "small", limit=9_999)
    unpack(archive, tmp_path / "whole", limit=10_000)
    assert (tmp_path / "whole" / "b").read_bytes() == bytes(5000)
    good = archive.read_bytes()
    for number, bad in enumerate(
        (good[: len(good) // 2], b"<!DOCTYPE html>", b"", good[:40] + b"\xff" * 9 + good[49:])
    ):
        archive.write_bytes(bad)
        with pytest.raises(DataError) as caught:
            unpack(archive, tmp_path / f"bad{number}")
        message(caught, str(archive))


def test_a_member_never_overwrites_another(tmp_path: Path) -> None:
    archive = tar_with(tmp_path / "x.tar.gz", (tarfile.TarInfo("a"), b"1"), (tarfile.TarInfo("./a"), b"2"))
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "inside")
    assert (tmp_path / "inside" / "a").read_bytes() == b"1"


def test_emnist_style_zip_is_found_where_it_unpacks(server: Server, tmp_path: Path) -> None:
    """The official gzip.zip unpacks to a folder gzip/ with one IDX file a member."""
    buffer = io.BytesIO()
    write_idx(tmp_path / "origin", small_idx())
    with zipfile.ZipFile(buffer, "w") as file:
        for path in (tmp_path / "origin").iterdir():
            file.write(path, f"gzip/{path.name}")
    server.files["gzip.zip"] = buffer.getvalue()
    known = hashlib.md5(buffer.getvalue()).hexdigest()
    dataset = small_idx(downloads=(Download(address(server, "gzip.zip"), known),))
    source = dataset.fetch(places(tmp_path))
    assert dataset.load(source).digest() == dataset.read(tmp_path / "origin").digest()
    assert source.folder == tmp_path / "cache" / "small"
