"""Pinned files: where they are looked for, what is refused, and downloads from a server on the loopback."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from phys_bench.data import DataUnavailable, PinnedFile, Table, bundled_table, digit_images, files, uci
from phys_bench.resolve import Resolver
from phys_bench.suite import load_suite
from phys_samplers.errors import ConfigurationError

FILES = {"abalone": uci.ABALONE, "telemonitoring": uci.TELEMONITORING, "parkinsons": uci.PARKINSONS}
FILES |= {"mushroom": uci.MUSHROOM, "red-wine": uci.RED_WINE}
SHAPES = {"abalone": (4177, 9), "telemonitoring": (5875, 22), "parkinsons": (195, 24), "mushroom": (8124, 23)}
SHAPES |= {"red-wine": (1599, 12)}

ORIGINAL = b"1;2\n3;4.50\n"
PLAIN = b"a,b\n1,2\n3,4.50\n"
EXPECTED = Table(("a", "b"), (("1", "2"), ("3", "4.50")))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def pinned() -> PinnedFile:
    return PinnedFile(
        original="toy.data",
        original_sha256=sha256(ORIGINAL),
        plain="toy.csv",
        plain_sha256=sha256(PLAIN),
        urls=("http://127.0.0.1:9/toy.data",),
        header=("a", "b"),
        delimiter=";",
    )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no folder of the user's."""
    monkeypatch.setattr(files.platformdirs, "user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    monkeypatch.delenv(files.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache" / "phys-samplers" / "data"


@pytest.fixture
def served() -> Iterator[tuple[str, dict[str, bytes], list[str]]]:
    """A server's address, what it serves by path, and the paths that were asked for."""
    content: dict[str, bytes] = {}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = content.get(self.path)
            self.send_response(404 if body is None else 200)
            cut = self.path.endswith("cut.data")
            self.send_header("Content-Length", str(len(body or b"") + (5 if cut else 0)))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", content, asked
    server.shutdown()
    thread.join()
    server.server_close()


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return stream.getvalue()


@pytest.mark.parametrize(("name", "content"), [("toy.data", ORIGINAL), ("toy.csv", PLAIN)])
@pytest.mark.parametrize("place", ["folder", "cache"])
def test_both_forms_from_both_places(
    name: str, content: bytes, place: str, pinned: PinnedFile, cache: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = cache
    if place == "folder":
        folder = tmp_path / "mine"
        monkeypatch.setenv("PHYS_SAMPLERS_DATA", str(folder))
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    assert pinned.read() == EXPECTED


def test_the_folder_comes_before_the_cache(
    pinned: PinnedFile, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir(parents=True)
    (cache / "toy.data").write_bytes(b"spoilt")
    monkeypatch.setenv("PHYS_SAMPLERS_DATA", str(tmp_path))
    (tmp_path / "toy.csv").write_bytes(PLAIN)
    assert pinned.read() == EXPECTED


def test_other_bytes_are_refused(pinned: PinnedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHYS_SAMPLERS_DATA", str(tmp_path))
    (tmp_path / "toy.csv").write_bytes(PLAIN + b"5,6\n")
    with pytest.raises(DataUnavailable) as refusal:
        pinned.read()
    text = str(refusal.value)
    for told in (str(tmp_path / "toy.csv"), sha256(PLAIN + b"5,6\n"), sha256(PLAIN), "replace", "127.0.0.1:9"):
        assert told in text


def test_a_folder_that_is_none(pinned: PinnedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHYS_SAMPLERS_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataUnavailable, match=r"PHYS_SAMPLERS_DATA is '.*nowhere', which is not a folder; set it"):
        pinned.read()


def test_no_network(pinned: PinnedFile, cache: Path) -> None:
    """Port 9 of the loopback answers nobody."""
    with pytest.raises(DataUnavailable) as refusal:
        pinned.read()
    for told in ("cannot be downloaded", "http://127.0.0.1:9/toy.data", "put toy.data or toy.csv into a folder",
                 "PHYS_SAMPLERS_DATA"):  # fmt: skip
        assert told in str(refusal.value)
    assert not cache.exists()


@pytest.mark.parametrize("archived", [False, True])
def test_download_is_kept(
    archived: bool, pinned: PinnedFile, cache: Path, served: tuple[str, dict[str, bytes], list[str]]
) -> None:
    address, content, asked = served
    body = zipped({"readme": b"words", "folder/toy.data": ORIGINAL}) if archived else ORIGINAL
    content["/there"] = body
    pinned = dataclasses.replace(pinned, urls=(f"{address}/missing", f"{address}/there"))
    assert pinned.read() == EXPECTED
    assert asked == ["/missing", "/there"]
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == {"toy.data": ORIGINAL}
    assert pinned.read() == EXPECTED
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/wrong", ORIGINAL + b"9;9\n", "another SHA-256"),
        ("/wrong.zip", zipped({"toy.data": ORIGINAL + b"9;9\n"}), "another SHA-256"),
        ("/cut.data", ORIGINAL[:5], "another SHA-256"),
        ("/missing", None, "404"),
        (
            "/spoilt.zip",
            zipped({"toy.data": ORIGINAL * 50})[:60] + zipped({"toy.data": ORIGINAL * 50})[70:],
            "cannot be downloaded",
        ),
    ],
)
def test_bad_downloads_are_not_kept(
    path: str, body: bytes | None, said: str, pinned: PinnedFile, cache: Path,
    served: tuple[str, dict[str, bytes], list[str]],
) -> None:  # fmt: skip
    address, content, _ = served
    if body is not None:
        content[path] = body
    with pytest.raises(DataUnavailable, match=said):
        dataclasses.replace(pinned, urls=(f"{address}{path}",)).read()
    assert not cache.exists()


def test_an_answer_that_does_not_come(pinned: PinnedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(files, "TIMEOUT", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/toy.data"
        with pytest.raises(DataUnavailable, match="timed out"):
            dataclasses.replace(pinned, urls=(url,)).read()


def test_a_cache_that_cannot_be_written(
    pinned: PinnedFile, cache: Path, served: tuple[str, dict[str, bytes], list[str]]
) -> None:
    address, content, _ = served
    content["/there"] = ORIGINAL
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    with pytest.raises(DataUnavailable, match="cannot be kept in"):
        dataclasses.replace(pinned, urls=(f"{address}/there",)).read()


def as_published(name: str, plain: bytes) -> bytes:
    """The original of a plain table: what was changed, undone."""
    head, body = plain.split(b"\n", 1)
    match name:
        case "abalone" | "mushroom":
            return body
        case "telemonitoring":
            return plain[:-1]
        case "parkinsons":
            return plain.replace(b"\n", b"\r\n")
        case _:
            return b";".join(b'"' + cell + b'"' for cell in head.split(b",")) + b"\n" + body.replace(b",", b";")


@pytest.mark.parametrize("name", FILES)
def test_both_forms_of_the_published_tables_agree(
    name: str, uci_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = FILES[name]
    if not (uci_data / file.plain).is_file():
        pytest.skip(f"{file.plain} is not in the data folder")
    table = file.read()
    assert (len(table), len(table.names)) == SHAPES[name]
    assert {len(row) for row in table.rows} == {len(table.names)}
    original = as_published(name, (uci_data / file.plain).read_bytes())
    assert sha256(original) == file.original_sha256
    (tmp_path / file.original).write_bytes(original)
    monkeypatch.setenv("PHYS_SAMPLERS_DATA", str(tmp_path))
    assert file.read() == table


def test_addresses_are_of_the_repository() -> None:
    for file in FILES.values():
        assert len(file.urls) == 2
        assert all(url.startswith("https://archive.ics.uci.edu/") for url in file.urls)
        assert file.urls[1].endswith(f"/{file.original}")


def test_a_table_without_repetitions() -> None:
    table = Table(("a", "b"), (("1", "x"), ("2", "x"), ("1", "x"), ("1.0", "x")))
    assert table.distinct().rows == (("1", "x"), ("2", "x"), ("1.0", "x"))
    assert table.numbers(["a", "a"]).tolist() == [[1.0, 1.0], [2.0, 2.0], [1.0, 1.0], [1.0, 1.0]]
    assert table.column("b") == ["x"] * 4


def test_scikit_learn_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for load in (lambda: bundled_table("wine"), digit_images):
        with pytest.raises(DataUnavailable, match=r"pip install 'phys-samplers\[data\]'"):
            load()


def test_a_suite_goes_on_with_its_other_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHYS_SAMPLERS_DATA", str(tmp_path / "nowhere"))
    suite = load_suite({"name": "some", "tasks": ["abalone", "moons"], "samplers": ["exact"], "seeds": 1})
    abalone, moons = (cell.pair for cell in Resolver(suite, "cpu").cells())
    assert moons.refusal is None
    assert abalone.refusal is not None
    assert abalone.refusal.status == "failed"
    assert "PHYS_SAMPLERS_DATA" in abalone.refusal.reason
    assert not issubclass(DataUnavailable, ConfigurationError)
