"""Raw files and own files through `prepare`, a server that misbehaves in between."""

from __future__ import annotations

import filecmp
import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError

import numpy as np
import polars as pl
import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from file_server import Fault, FileServer, file_server
from missrec.app.folders import export, verify
from missrec.app.prepare import prepare, prepare_data, prepare_missing
from missrec.app.session import plain
from missrec.app.settings import DataSettings, Paths, read_data, read_paths
from missrec.data.domain import INTERACTIONS, ITEMS, USERS
from missrec.data.sources.amazon import AmazonDomain
from missrec.features.store import FEATURES, read_features, write_features
from raw_amazon import CATEGORY, FULL, REVIEWS, raw_files, write_raw
from synthetic import SHARED_DATA, write_domain_folder

Composed = Callable[..., DictConfig]
FAULTS = [Fault(status=429, retry_after="0"), Fault(drop_after=100), Fault(length_error=50)]
QUICK = [
    f"data.sources.amazon.downloader.{setting}"
    for setting in ("first_wait_sec=0.001", "timeout_sec=5")
]


@pytest.fixture
def composed(tmp_path: Path) -> Composed:
    def compose_prepare(*overrides: str) -> DictConfig:
        places = [f"paths.data_dir={tmp_path / 'data'}", f"paths.log_dir={tmp_path / 'logs'}"]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return compose("prepare", overrides=[*places, *overrides])

    return compose_prepare


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


def amazon(composed: Composed, tmp_path: Path, year: int, *overrides: str) -> DictConfig:
    rejects = f"data.sources.amazon.rejects.path={tmp_path / 'rejects.csv'}"
    chosen = ("data=amazon", f"data.year={year}", f"data.category={CATEGORY}")
    return composed(*chosen, rejects, *QUICK, *overrides)


def tables(folder: Path) -> list[pl.DataFrame]:
    return [pl.read_parquet(folder / name) for name in (INTERACTIONS, ITEMS, USERS)]


SHORT_NAMES = sorted(OmegaConf.load(ROOT / "conf" / "data" / "_amazon_category.yaml").known)


def built(cfg: DictConfig, tmp_path: Path) -> list[AmazonDomain]:
    for source in cfg.data.sources.values():
        source.rejects.path = str(tmp_path / "rejects.csv")  # Hydra knows it only in a run
    return [instantiate(source, _convert_="all") for source in cfg.data.sources.values()]


@pytest.mark.parametrize(
    "choice",
    [
        ("amazon data.year=2018 data.category=arts", ["amazon2018_arts"]),
        ("amazon data.year=2023 data.category=office", ["amazon2023_office"]),
        ("amazon data.year=2018 data.category=Gift_Cards", ["amazon2018_Gift_Cards"]),
        *(
            (
                f"amazon_sources data.year={year}",
                [f"amazon{year}_{name}" for name in ("food", "home", "cds", "kindle", "movies")],
            )
            for year in (2018, 2023)
        ),
    ],
    ids=lambda choice: choice[0],
)
def test_a_choice_says_how_to_make_it_and_has_the_folders_it_always_had(
    composed: Composed, tmp_path: Path, choice: tuple[str, list[str]]
) -> None:
    words, names = choice
    cfg = composed(*f"data={words}".split())
    assert cfg.data.choice == words
    assert [source.name for source in cfg.data.sources.values()] == names
    assert list(cfg.data.folders) == [str(tmp_path / "data" / name) for name in names]
    assert all(callable(domain.read) for domain in built(cfg, tmp_path))


@pytest.mark.parametrize(
    ("category", "year", "said"),
    [
        ("pantry", 2023, r"category \(pantry\): the dump of 2023 has no Prime_Pantry"),
        ("Prime_Pantry", 2023, r"the dump of 2023 has no Prime_Pantry"),
        ("art", 2018, r"category \(art\) must be one of food, cds, .* such as Gift_Cards"),
        ("arts", 2014, r"year \(2014\) must be one of 2018, 2023"),
    ],
)
def test_a_category_that_a_dump_has_not_is_refused(
    composed: Composed, tmp_path: Path, category: str, year: int, said: str
) -> None:
    cfg = composed("data=amazon", f"data.year={year}", f"data.category={category}")
    with pytest.raises(InstantiationException, match=said):
        built(cfg, tmp_path)


def test_a_category_is_known_by_both_its_names(composed: Composed, tmp_path: Path) -> None:
    short, spelled = (
        built(composed("data=amazon", f"data.category={category}"), tmp_path)[0]
        for category in ("arts", "Arts_Crafts_and_Sewing")
    )
    assert short.files == spelled.files
    assert short.files["ratings"] == "categoryFilesSmall/Arts_Crafts_and_Sewing.csv"
    assert short.published == spelled.published != {}


def test_published_counts_are_those_of_table_1(composed: Composed, tmp_path: Path) -> None:
    path = SHARED_DATA.parent / "reference" / "paper_tables.json"
    if not path.is_file():
        pytest.skip("the paper's tables are not in shared/ beside the project")
    rows = {
        row["dataset"].lower(): row for row in json.loads(path.read_text())["table1_statistics"]
    }
    assert len(SHORT_NAMES) == 10
    for name in SHORT_NAMES:
        (domain,) = built(composed("data=amazon", f"data.category={name}"), tmp_path)
        assert domain.published == {
            key: rows[name][key] for key in ("users", "items", "interactions")
        }
    (newer,) = built(composed("data=amazon", "data.year=2023", "data.category=arts"), tmp_path)
    assert newer.published == {}


@pytest.mark.parametrize("year", [2018, 2023])
@pytest.mark.parametrize("interactions", ["ratings", "other"])
def test_a_category_comes_through_a_server_that_misbehaves(
    composed: Composed, server: FileServer, tmp_path: Path, year: int, interactions: str
) -> None:
    server.files = raw_files(year)
    server.faults = {path: list(FAULTS) for path in server.files}
    kind = {2018: "five_core", 2023: "reviews"}[year] if interactions == "other" else interactions
    cfg = amazon(
        composed, tmp_path, year, f"data.base_url={server.url}", f"data.interactions={kind}"
    )
    (row,) = prepare(cfg)
    assert (row.num_users, row.num_items, row.num_interactions) == (8, 8, len(FULL))
    folder = tmp_path / "data" / f"amazon{year}_{CATEGORY}"
    _, items, users = tables(folder)
    assert items["text"][0] == "Toy a & box. Toys Games. ACME."
    assert users["user_key"].to_list() == [f"user{user}" for user in range(8)]
    manifest = json.loads((folder / "manifest.json").read_text())
    left = [step["num_interactions"] for step in manifest["steps"][1:]]
    assert left == [len(REVIEWS), len(REVIEWS) - 8, len(REVIEWS) - 9, len(FULL)]
    # Not `files`, which waits for somebody to name them.
    assert set(manifest["fingerprint"]["splits"]) == {
        "leave_one_out",
        "global_time",
        "ratio",
        "users",
    }
    assert len(manifest["settings"]["files"]) == 2


def test_the_file_of_ratings_and_that_of_reviews_make_the_same_tables(
    composed: Composed, tmp_path: Path
) -> None:
    raw = write_raw(tmp_path / "raw", raw_files(2018))
    made = []
    for kind in ("ratings", "five_core"):
        prepare(
            amazon(composed, tmp_path, 2018, f"data.raw_dir={raw}", f"data.interactions={kind}")
        )
        made.append(tables(tmp_path / "data" / f"amazon2018_{CATEGORY}"))
    assert all(first.equals(second) for first, second in zip(*made, strict=True))


def test_cut_download_is_refused_with_the_file_to_delete(
    composed: Composed, tmp_path: Path
) -> None:
    raw = write_raw(tmp_path / "raw", raw_files(2018))
    path = raw / f"meta_{CATEGORY}.json.gz"
    path.write_bytes(path.read_bytes()[:-10])
    cfg = amazon(composed, tmp_path, 2018, f"data.raw_dir={raw}")
    with pytest.raises(ValueError, match=r"meta_Toys.json.gz is damaged .*; delete it, so that"):
        prepare(cfg)
    assert not (tmp_path / "data" / f"amazon2018_{CATEGORY}").exists()


def test_garbage_in_a_dump_is_refused_with_the_list(composed: Composed, tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", raw_files(2018))
    (raw / f"{CATEGORY}.csv").write_text("<html>\n" * 5)
    with pytest.raises(ValueError, match=r"Toys.csv: 5 of 5 rows .*rejects.csv lists them"):
        prepare(amazon(composed, tmp_path, 2018, f"data.raw_dir={raw}"))
    assert len(pl.read_csv(tmp_path / "rejects.csv")) == 5


def test_unknown_kind_of_file_is_refused_with_the_known_ones(
    composed: Composed, tmp_path: Path
) -> None:
    with pytest.raises(InstantiationException, match=r"must be one of ratings, five_core, reviews"):
        prepare(amazon(composed, tmp_path, 2018, "data.interactions=all"))


def test_preparing_again_keeps_features_extracted_since(composed: Composed, tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", raw_files(2018))
    cfg = amazon(composed, tmp_path, 2018, f"data.raw_dir={raw}")
    prepare(cfg)
    folder = tmp_path / "data" / f"amazon2018_{CATEGORY}"
    num_items = len(pl.read_parquet(folder / ITEMS))
    shutil.rmtree(folder / FEATURES)
    write_features(folder, {"text": np.ones((num_items, 3), dtype=np.float32)}, settings={})
    prepare(cfg)
    assert (folder / FEATURES / "text.npy").is_file()
    # Other items: the features are not theirs.
    path = raw / f"meta_{CATEGORY}.json.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"ACME", b"EMCA")))
    prepare(cfg)
    assert not (folder / FEATURES / "text.npy").exists()


@pytest.mark.parametrize(
    ("category", "counts"),
    [
        ("Gift_Cards", (2_972, 453, 147, 2_941)),
        ("Magazine_Subscriptions", (2_375, 274, 124, 1_883)),
    ],
)
def test_real_dumps_come_through_a_server_that_misbehaves(
    composed: Composed, server: FileServer, tmp_path: Path, category: str, counts: tuple[int, ...]
) -> None:
    raw = SHARED_DATA / "amazon2018_raw"
    if not raw.is_dir():
        pytest.skip("the raw Amazon files are not in shared/data beside the project")
    server.files = {
        f"/categoryFilesSmall/{category}_5.json.gz": (raw / f"{category}_5.json.gz").read_bytes(),
        f"/metaFiles2/meta_{category}.json.gz": (raw / f"meta_{category}.json.gz").read_bytes(),
    }
    server.faults = {path: [*FAULTS, Fault(drop_after=5_000)] for path in server.files}
    cfg = amazon(
        composed,
        tmp_path,
        2018,
        f"data.category={category}",
        f"data.base_url={server.url}",
        "data.interactions=five_core",
    )
    (row,) = prepare(cfg)
    manifest = json.loads(
        (tmp_path / "data" / f"amazon2018_{category}" / "manifest.json").read_text()
    )
    num_rows = manifest["steps"][0]["num_interactions"]
    assert (num_rows, row.num_users, row.num_items, row.num_interactions) == counts
    downloaded = tmp_path / "data" / "raw" / "amazon2018"
    assert all(path.suffix == ".gz" for path in downloaded.iterdir())
    assert {path.name: path.read_bytes() for path in downloaded.iterdir()} == {
        Path(path).name: content for path, content in server.files.items()
    }


def test_real_shop_loads_with_its_own_column_names(composed: Composed, tmp_path: Path) -> None:
    shop = SHARED_DATA / "own_csv_office"
    if not shop.is_dir():
        pytest.skip("the shop's files are not in shared/data beside the project")
    cfg = composed(
        "data=own",
        "data.name=office",
        f"data.interactions.path={shop / 'clicks.csv'}",
        "data.interactions.user=customer",
        "data.interactions.item=product",
        "data.interactions.order=position",
        f"data.items.path={shop / 'products.jsonl'}",
        "data.items.item=product",
        "data.items.texts=[title,brand,description]",
        f"data.sources.own.rejects.path={tmp_path / 'rejects.csv'}",
    )
    (row,) = prepare(cfg)
    assert (row.num_users, row.num_items, row.num_interactions) == (3_231, 3_459, 21_802)
    interactions, items, users = tables(tmp_path / "data" / "office")
    clicks = pl.read_csv(shop / "clicks.csv", infer_schema_length=0)
    first = users["user_key"][0]
    expected = clicks.filter(pl.col("customer") == first).sort(pl.col("position").cast(pl.Int64))
    own = interactions.filter(pl.col("user_id") == 0).join(
        items, on="item_id", maintain_order="left"
    )
    assert own["item_key"].to_list() == expected["product"].to_list()


def test_jobs_that_start_together_make_the_demo_once(
    composed: Composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = plain(composed("data=demo"))
    wanted = read_paths(config), read_data(config)
    made, both = [], Barrier(2)

    def prepare_slowly(paths: Paths, data: DataSettings) -> None:
        with suppress(BrokenBarrierError):
            both.wait(timeout=1)  # both come here if both may
        made.extend(prepare_data(paths, data))

    monkeypatch.setattr("missrec.app.prepare.prepare_data", prepare_slowly)
    with ThreadPoolExecutor(2) as jobs:
        for job in [jobs.submit(prepare_missing, *wanted) for _ in range(2)]:
            job.result()
    assert len(made) == len(config["data"]["sources"])


@pytest.mark.parametrize("name", ["scientific", "scientific_mm_subset"])
def test_known_set_is_known_again_and_comes_out_as_it_was(
    composed: Composed, tmp_path: Path, name: str
) -> None:
    if not (SHARED_DATA / name).is_dir():
        pytest.skip(f"the real data set {name} is not in shared/data beside the project")
    prepare(composed(f"data={name}"))
    folder = tmp_path / "data" / name
    assert verify(folder, root_dir=ROOT) == name
    export(folder, to=str(tmp_path / "released"))
    names = [path.name for path in (tmp_path / "released").iterdir() if path.suffix != ".text"]
    assert len(names) == 7
    equal, *_ = filecmp.cmpfiles(SHARED_DATA / name, tmp_path / "released", names, shallow=False)
    assert equal == names


def test_known_set_with_other_features_is_told_by_what_differs(
    composed: Composed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "scientific_mm_subset"
    if not (SHARED_DATA / name).is_dir():
        pytest.skip(f"the real data set {name} is not in shared/data beside the project")
    prepare(composed(f"data={name}"))
    folder = tmp_path / "data" / name
    shutil.rmtree(folder / FEATURES)
    write_features(folder, {"text": np.ones((1_585, 3), dtype=np.float32)}, settings={})
    capsys.readouterr()
    assert verify(folder, root_dir=ROOT) is None
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    verdicts = {row[1].strip(): row[4].strip() for row in rows}
    assert [fact for fact, verdict in verdicts.items() if verdict == "differs"] == [
        "features text",
        "features image",
    ]
    assert verdicts["split leave_one_out"] == "equal"


def test_unknown_set_is_told_so(
    composed: Composed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_domain_folder(tmp_path / "tiny")
    assert verify(folder, root_dir=ROOT) is None
    assert "nothing in common with a known set" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("broken", [INTERACTIONS, f"{FEATURES}/text.npy"])
def test_broken_folder_is_told_by_its_file(tmp_path: Path, broken: str) -> None:
    folder = write_domain_folder(tmp_path / "tiny")
    path = folder / broken
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=rf"{broken} does not match the sha256"):
        verify(folder, root_dir=ROOT)


def test_export_never_replaces_a_folder(tmp_path: Path) -> None:
    folder = write_domain_folder(tmp_path / "tiny")
    (tmp_path / "mine").mkdir()
    for to in (None, str(tmp_path / "mine")):
        with pytest.raises(ValueError, match=r"must name a new folder"):
            export(folder, to=to)


@pytest.mark.parametrize("left", ["thesis.txt", "x/photo.jpg"])
def test_a_folder_of_somebody_else_is_not_replaced(
    composed: Composed, tmp_path: Path, left: str
) -> None:
    own = tmp_path / "data" / "demo_office" / left
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with pytest.raises(ValueError, match=r"demo_office holds .* and no domain, and would be"):
        prepare(composed("data=demo"))
    assert own.read_text() == "mine"


def test_a_broken_domain_and_an_empty_folder_are_replaced(
    composed: Composed, tmp_path: Path
) -> None:
    folder = write_domain_folder(tmp_path / "data" / "demo_office")
    (folder / "manifest.json").unlink()
    small = [f"data.sources.demo_office.{size}" for size in ("num_users=40", "num_items=30")]
    prepare(composed("data=demo", *small))
    assert (folder / "manifest.json").is_file()
    shutil.rmtree(folder)
    folder.mkdir()
    prepare(composed("data=demo", *small))
    assert (folder / "manifest.json").is_file()


def test_the_demo_has_pictures_of_the_items_with_image_features(
    composed: Composed, tmp_path: Path
) -> None:
    small = [f"data.sources.demo_office.{size}" for size in ("num_users=20", "num_items=30")]
    images = tmp_path / "data" / "images" / "demo_office"
    images.mkdir(parents=True)
    for name in ("item_1.png", "item_2.png", "mine.png"):
        (images / name).write_bytes(b"of before")
    prepare(composed("data=demo", *small, "data.sources.demo_office.image_prob=0.5"))
    features = read_features(tmp_path / "data" / "demo_office", ("image",), num_items=30)["image"]
    expected = {f"item_{item}.png" for item in features.item_ids.tolist()}
    assert 0 < len(expected) < 30
    assert {path.name for path in images.iterdir()} == expected | {"mine.png"}
    assert all((images / name).read_bytes().startswith(b"\x89PNG") for name in expected)


def test_files_of_a_split_are_found_from_any_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    named = {"train": None, "val": "val.csv", "test": "/x/test.csv"}
    split = plain(OmegaConf.create({"split": named, "datamodule": "${split}"}))
    absolute = {"train": None, "val": str(tmp_path / "val.csv"), "test": "/x/test.csv"}
    assert split == {"split": absolute, "datamodule": absolute}
    assert plain(OmegaConf.create({"split": {"val": 0.1}})) == {"split": {"val": 0.1}}
