from __future__ import annotations

import email.utils
import gzip
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from file_server import Fault, FileServer, file_server
from missrec.data.sources.download import Downloader

CONTENT = np.random.default_rng(0).bytes(50_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = "folder/reviews.json.gz"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        running.files[f"/{NAME}"] = CONTENT
        yield running


def downloader(server: FileServer, **changes: Any) -> Downloader:
    settings: dict[str, Any] = {
        "base_url": server.url,
        "setting": "data.base_url",
        "timeout_sec": 5,
        "max_tries": 3,
        "first_wait_sec": 0.001,
        "longest_wait_sec": 2,
    }
    return Downloader(**settings | changes)


def fetch(server: FileServer, path: Path, *faults: Fault, **changes: Any) -> None:
    server.faults[f"/{NAME}"] = list(faults)
    digest = changes.pop("digest", None)
    downloader(server, **changes).fetch(NAME, path, digest=digest)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "raw" / "reviews.json.gz"


def test_file_arrives_whole_and_alone(server: FileServer, path: Path) -> None:
    fetch(server, path, digest=DIGEST)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_file_that_is_there_is_not_asked_for(server: FileServer, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"mine")
    fetch(server, path)
    assert path.read_bytes() == b"mine"
    assert server.requests == []


def test_dropped_connections_go_on_where_they_broke(server: FileServer, path: Path) -> None:
    # More drops than tries: each brought something new.
    drops = [Fault(drop_after=10_000)] * 4
    fetch(server, path, *drops, digest=DIGEST)
    assert path.read_bytes() == CONTENT
    asked = [wanted for _, wanted in server.requests]
    assert asked == [None, *(f"bytes={at}-" for at in (10_000, 20_000, 30_000, 40_000))]


def test_a_later_call_goes_on_where_the_first_gave_up(server: FileServer, path: Path) -> None:
    with pytest.raises(OSError, match=r"gave up after 1 tries .* go on from 10000 bytes"):
        fetch(server, path, Fault(drop_after=10_000), max_tries=1)
    assert not path.exists()
    fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert server.requests[-1][1] == "bytes=10000-"


def test_file_that_was_whole_before_its_rename_is_only_renamed(
    server: FileServer, path: Path
) -> None:
    with pytest.raises(OSError, match="gave up"):
        fetch(server, path, Fault(drop_after=10_000), max_tries=1)
    path.with_name(f"{path.name}.part").write_bytes(CONTENT)
    fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert server.requests[-1][1] == f"bytes={len(CONTENT)}-"


def test_file_that_changed_in_between_starts_afresh(server: FileServer, path: Path) -> None:
    changed = CONTENT[::-1]
    fetch(server, path, Fault(drop_after=10_000), Fault(becomes=changed))
    assert path.read_bytes() == changed


@pytest.mark.parametrize(
    "second", [Fault(ignores_range=True), Fault(wrong_range=5_000), Fault(status=416)]
)
def test_server_that_does_not_give_the_rest_harms_nothing(
    server: FileServer, path: Path, second: Fault
) -> None:
    fetch(server, path, Fault(drop_after=10_000), second)
    assert path.read_bytes() == CONTENT


def test_without_a_strong_validator_the_file_starts_afresh(server: FileServer, path: Path) -> None:
    server.weak_tags = True
    fetch(server, path, Fault(drop_after=10_000))
    assert path.read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [None, None]


def test_part_of_a_file_nobody_knows_is_not_trusted(server: FileServer, path: Path) -> None:
    path.parent.mkdir()
    path.with_name(f"{path.name}.part").write_bytes(b"from elsewhere")
    fetch(server, path)
    assert path.read_bytes() == CONTENT


def test_shorter_body_than_told_is_tried_again(server: FileServer, path: Path) -> None:
    fetch(server, path, Fault(length_error=100))
    assert path.read_bytes() == CONTENT


def test_server_that_always_tells_a_wrong_length_is_given_up(
    server: FileServer, path: Path
) -> None:
    with pytest.raises(OSError, match=r"gave up after 3 tries"):
        fetch(server, path, *[Fault(length_error=100, ignores_range=True)] * 9)
    assert not path.exists()


def test_body_of_unknown_length_is_taken(server: FileServer, path: Path) -> None:
    fetch(server, path, Fault(no_length=True), digest=DIGEST)
    assert path.read_bytes() == CONTENT


GZ = gzip.compress(CONTENT)
CUT = Fault(no_length=True, drop_after=20_000)
DEAF = {"ignores_range": True}


@pytest.mark.parametrize(
    ("content", "faults", "requests"),
    [
        pytest.param(GZ, [Fault(no_length=True)], 1, id="gz that is whole"),
        pytest.param(GZ, [CUT], 2, id="gz that is cut"),
        pytest.param(GZ, [CUT._replace(**DEAF), Fault(no_length=True, **DEAF)], 2, id="twice"),
        pytest.param(CONTENT, [CUT], 2, id="not even gz, cut"),
        pytest.param(CONTENT, [Fault(no_length=True)], 2, id="the server confirms the end"),
        pytest.param(CONTENT, [Fault(no_length=True), Fault(status=503)], 3, id="later"),
    ],
)
def test_body_of_unknown_length_is_taken_where_it_is_known_to_be_whole(
    server: FileServer, path: Path, content: bytes, faults: list[Fault], requests: int
) -> None:
    server.files[f"/{NAME}"] = content
    fetch(server, path, *faults)
    assert path.read_bytes() == content
    assert len(server.requests) == requests


@pytest.mark.parametrize("content", [CONTENT, GZ[:-1], GZ[:30_000]], ids=["any", "a byte", "cut"])
@pytest.mark.parametrize("weak_tags", [True, False])
def test_body_that_nobody_knows_to_be_whole_is_not_taken(
    server: FileServer, path: Path, content: bytes, weak_tags: bool
) -> None:
    server.files[f"/{NAME}"] = content
    server.weak_tags = weak_tags
    with pytest.raises(OSError, match=r"does not say how long the file is.*gave up after 3 tries"):
        fetch(server, path, *[Fault(no_length=True, **DEAF)] * 9)
    assert not path.exists()


def test_cut_body_of_unknown_length_is_known_by_its_digest(server: FileServer, path: Path) -> None:
    fetch(server, path, CUT, digest=DIGEST)
    assert path.read_bytes() == CONTENT
    assert server.requests[1][1] == "bytes=20000-"


def test_longer_file_than_told_is_caught_by_its_digest(server: FileServer, path: Path) -> None:
    with pytest.raises(ValueError, match=r"has sha256 .*, expected .*data\.base_url"):
        fetch(server, path, Fault(length_error=-100), digest=DIGEST)
    assert list(path.parent.iterdir()) == []


def test_missing_file_is_refused_at_once_with_the_setting(server: FileServer, path: Path) -> None:
    del server.files[f"/{NAME}"]
    with pytest.raises(
        OSError, match=r"http://.*reviews.json.gz answers 404 .*data\.base_url"
    ) as e:
        fetch(server, path)
    assert str(path) in str(e.value)
    assert not str(e.value).count(".part")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(server: FileServer, path: Path, status: int) -> None:
    start = time.monotonic()
    fetch(server, path, Fault(status=status, retry_after="1"))
    assert time.monotonic() - start >= 1
    assert path.read_bytes() == CONTENT


def test_retry_after_may_be_a_date(server: FileServer, path: Path) -> None:
    date = email.utils.formatdate(time.time() + 3600, usegmt=True)
    with pytest.raises(OSError, match=r"asks to wait 3[56]\d\d s, more than 2"):
        fetch(server, path, Fault(status=429, retry_after=date))
    assert len(server.requests) == 1


def test_server_that_stays_busy_is_given_up(server: FileServer, path: Path) -> None:
    with pytest.raises(OSError, match=r"503 .*; gave up after 3 tries"):
        fetch(server, path, *[Fault(status=503)] * 9)
    assert len(server.requests) == 3


def test_slow_bytes_are_no_silence(server: FileServer, path: Path) -> None:
    fetch(server, path, Fault(pause_sec=0.15), timeout_sec=1.5)  # 13 pieces: longer than that
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_silence_is_tried_again_from_where_it_began(server: FileServer, path: Path) -> None:
    fetch(server, path, Fault(pause_sec=2), timeout_sec=1)
    assert path.read_bytes() == CONTENT
    assert server.requests[1][1] == "bytes=4096-"


def test_unreachable_server_is_given_up_with_the_setting(tmp_path: Path) -> None:
    with file_server() as gone:
        pass
    with pytest.raises(OSError, match=r"gave up .* set data\.base_url to another server"):
        fetch(gone, tmp_path / "a")


def test_file_here_with_another_digest_is_refused(server: FileServer, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"reviews.json.gz has sha256 .* delete it"):
        fetch(server, path, digest=DIGEST)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base_url": "ftp://host"}, r"data.base_url \(ftp://host\) must start with http"),
        ({"max_tries": 0}, r"max_tries \(0\) must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(
    server: FileServer, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        downloader(server, **changes)
