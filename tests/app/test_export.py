"""`missrec export`: a folder that gives the run's recommendations anywhere, or none at all."""

from __future__ import annotations

import json
import shutil
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from conftest import ROOT, Compose
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

import missrec
from changed_data import timed_domain
from doors import call
from local_server import LocalServer
from missrec.app.export import export
from missrec.app.stages import pretrained_checkpoint
from missrec.app.train import train
from missrec.app.trained.exported import ExportError, read_exported
from missrec.data.manifest import MANIFEST, write_manifest
from missrec.runs.identity import ChangedDataError
from missrec.runs.trust import UntrustedError
from synthetic import write_domain_folder

HISTORIES = [["item_4", "item_17", "item_2"], ["item_9"]]


def settings(run: Path, **values: object) -> DictConfig:
    words = [f"{key}={value}" for key, value in values.items() if value is not None]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("export", overrides=[f"run={run}", *words])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run and the folder that it was exported to."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run(trained: Path, compose_tiny: Compose) -> Path:
    """Trained once for all tests; its data lies in the same project."""
    folder = trained / "logs" / "run"
    if not folder.exists():
        data = f"paths.data_dir={trained / 'data'}"
        train(compose_tiny("trainer.max_epochs=1", data, f"run_dir={folder}"))
    return folder


@pytest.fixture
def exported(run: Path, trained: Path, tmp_path: Path) -> Path:
    """A copy of what the run was exported to."""
    once = trained / "exported"
    if not once.exists():
        export(settings(run, to=once, **{"paths.data_dir": trained / "data"}))
    return Path(shutil.copytree(once, tmp_path / "exported"))


def test_it_recommends_what_the_run_does_without_its_data(
    run: Path, exported: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = missrec.load(run, data_dir=trained / "data").recommend(HISTORIES, k=5)
    monkeypatch.chdir(tmp_path)
    assert missrec.load(exported).recommend(HISTORIES, k=5).equals(expected)
    assert not (tmp_path / "data").exists()


def test_the_command_recommends_by_it_for_histories_and_items(
    exported: Path, tmp_path: Path
) -> None:
    (tmp_path / "h.jsonl").write_text(
        "".join(f"{json.dumps({'history': n, 'items': h})}\n" for n, h in enumerate(HISTORIES))
    )
    places = (f"run={exported}", f"paths.log_dir={tmp_path}", "accelerator=cpu", "show=0")
    asked = (*places, f"out={tmp_path / 'recs.parquet'}", "k=5")
    assert call("recommend", *asked, f"histories={tmp_path / 'h.jsonl'}").code == 0
    model = missrec.load(exported)
    found = pl.read_parquet(tmp_path / "recs.parquet")
    expected = model.recommend(HISTORIES, k=5)
    assert found.equals(expected.with_columns(pl.col("history").cast(pl.String)))
    assert call("recommend", *asked, "items=all").code == 0
    assert pl.read_parquet(tmp_path / "recs.parquet").equals(
        model.similar(model.items["item"], k=5)
    )
    ended = call("recommend", *asked)
    assert ended.code == 2
    assert "knows no users; name histories=<file>" in ended.stderr


def test_it_takes_no_new_items_and_is_no_run(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="has its items with it; new_items=features is for the run"
    ):
        missrec.load(exported, new_items="features")
    with pytest.raises(ValueError, match="is an exported model; run must name the folder of the"):
        export(settings(exported, to=tmp_path / "again"))
    with pytest.raises(ValueError, match="an exported model; pretrained must name the folder of"):
        pretrained_checkpoint(str(exported))


def test_it_holds_items_and_figures_but_no_path_and_no_user(run: Path, exported: Path) -> None:
    items = pl.read_parquet(exported / "items.parquet")
    assert items["item_id"].to_list() == list(range(1, 41))
    assert items["item_key"][0] == "item_1"
    assert items["train_count"].sum() > 100
    assert json.loads((exported / "metrics.json").read_text()) == _metrics(run)
    for path in exported.rglob("*"):
        if path.suffix in {".json", ".md"}:
            assert str(run.parents[1]) not in path.read_text(), path
            assert "user_1" not in path.read_text(), path
    assert not [path for path in exported.rglob("*") if path.suffix in {".ckpt", ".pt", ".pkl"}]


def _metrics(run: Path) -> Any:
    found = json.loads((run / "metrics.json").read_text())
    return {key: value for key, value in found.items() if not key.endswith("sha256")}


def test_its_card_has_the_measured_figures_in_front_and_in_the_table(
    run: Path, exported: Path
) -> None:
    card = (exported / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    (index,) = yaml.safe_load(front)["model-index"]
    (result,) = index["results"]
    measured = _metrics(run)
    assert {m["type"]: m["value"] for m in result["metrics"]} == {
        key.removeprefix("test/"): value
        for key, value in measured.items()
        if key.startswith("test/")
    }
    assert f"| ndcg@10 | {measured['val/ndcg@10']:.4f} | {measured['test/ndcg@10']:.4f} |" in body
    assert "missrec.load(" in body


def test_the_card_may_be_edited_and_the_hub_may_add_files(exported: Path) -> None:
    (exported / "README.md").write_text("ours")
    (exported / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    assert len(read_exported(exported).items) == 40


@pytest.mark.parametrize("name", ["model.safetensors", "items.parquet", "config.json"])
@pytest.mark.parametrize("kind", ["truncated", "missing", "changed", "consistent"])
def test_a_damaged_file_is_refused_by_its_name(exported: Path, name: str, kind: str) -> None:
    path = exported / name
    content = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "changed":
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    else:
        path.write_bytes(content[: len(content) // 2])
    if kind == "consistent":  # whoever damages it may also write the manifest
        _sign(exported)
    with pytest.raises((ExportError, FileNotFoundError), match=name) as refused:
        read_exported(exported)
    assert "\n" not in str(refused.value)


def _sign(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    write_manifest(folder, {key: manifest[key] for key in ("kind", "features_sha256", "counts")})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (pl.col("item_id") + 1, "must hold the items 1..40 in order"),
        (pl.lit(None, dtype=pl.String).alias("title"), "no nulls"),
        (pl.lit("x").alias("train_count"), "cannot be read"),
        (pl.Series("domain", ["a", "b"] * 20), "side by side"),
    ],
)
def test_items_that_are_none_are_refused(exported: Path, change: Any, said: str) -> None:
    path = exported / "items.parquet"
    pl.read_parquet(path).with_columns(change).write_parquet(path)
    _sign(exported)
    with pytest.raises(ExportError, match=said):
        read_exported(exported)


def test_features_of_another_export_are_refused(exported: Path) -> None:
    path = exported / "features" / MANIFEST
    path.write_text(path.read_text() + " ")
    with pytest.raises(ExportError, match="features is not what was exported"):
        read_exported(exported)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": {"_target_": "os.system", "command": "true"}}, "none of the parts"),
        ({"model": {"_target_": "builtins.eval"}}, "none of the parts"),
        ({"model": {"_target_": "missrec.models.sasrec.inner_products"}}, "defined elsewhere"),
    ],
)
def test_a_config_that_names_code_builds_nothing(
    exported: Path, change: dict[str, Any], said: str
) -> None:
    _configure(exported, **change)
    with pytest.raises(UntrustedError, match=said):
        read_exported(exported)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "x"}, "describes no model"),
        ({"model": {}}, "model is missing"),
        ({"max_seq_len": None}, "max_seq_len"),
        ({"max_seq_len": True}, "max_seq_len"),
        ({"modalities": "text"}, "modalities"),
        ({"modalities": ["../text"]}, "no features of modality"),
        ({"modalities": ["text"]}, "cannot be loaded"),
        ({"format_version": 99}, "made by a later one"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_in_one_line(
    exported: Path, change: dict[str, Any], said: str
) -> None:
    _configure(exported, **change)
    with pytest.raises(ExportError, match=said) as refused:
        read_exported(exported)
    assert "\n" not in str(refused.value)


def _configure(folder: Path, **change: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    _sign(folder)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "to=exported, or push="),
        ({"to": "{tmp}/there"}, "is not empty"),
        ({"to": "{tmp}/there/file"}, "is not empty"),
        ({"to": "{tmp}/there/file/new"}, "there/file is a file, and a folder has to be there"),
        ({"to": "{tmp}/new", "format": "pickle"}, "must be one of safetensors, onnx"),
        ({"to": "{tmp}/new", "trust": "maybe"}, "trust"),
        ({"to": "{tmp}/new", "run": "{tmp}"}, "must name the folder of a training run"),
        ({"push": "a/b/c"}, "must be <owner>/<name>"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_nothing_is_written(
    run: Path, trained: Path, tmp_path: Path, values: dict[str, str], said: str
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    told = {key: value.format(tmp=tmp_path) for key, value in values.items()}
    cfg = settings(Path(told.pop("run", str(run))), **told, **{"paths.data_dir": trained / "data"})
    with pytest.raises((ValueError, OSError), match=said):
        export(cfg)
    assert sorted(tmp_path.rglob("*")) == before


def test_other_items_are_refused_without_a_setting_that_it_has_not(
    run: Path, tmp_path: Path
) -> None:
    write_domain_folder(tmp_path / "data" / "demo_office", timed_domain("demo_office"))
    with pytest.raises(ChangedDataError, match=r"items.*; prepare the data as it was, or") as told:
        export(settings(run, to=tmp_path / "new", **{"paths.data_dir": tmp_path / "data"}))
    assert "new_items" not in str(told.value)


def test_a_model_that_scores_by_its_training_data_is_refused(
    trained: Path, run: Path, compose_tiny: Compose, tmp_path: Path
) -> None:
    data = f"paths.data_dir={trained / 'data'}"
    base = ("experiment=demo_most_popular", "model=last_item_transition", *_SIZES)
    train(compose_tiny(data, base=base, run="counts"))
    with pytest.raises(ValueError, match="LastItemTransition scores by more of its training data"):
        export(
            settings(
                tmp_path / "logs/counts",
                to=tmp_path / "new",
                **{"paths.data_dir": trained / "data"},
            )
        )
    assert not (tmp_path / "new").exists()


_SIZES = ("data.sources.demo_office.num_users=60", "data.sources.demo_office.num_items=40")


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub as a push asks for; keeps what was said to it in `said`."""

    said: dict[str, Any]
    refuses = False

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.said[self.path] = body
        self.said["token"] = self.headers.get("Authorization")
        if self.refuses:
            self._answer({"error": "Invalid username or password."}, status=401)
        elif self.path == "/api/repos/create":
            self._answer({"url": f"http://{self.headers['Host']}/shop/model"})
        elif "/preupload/" in self.path:
            files = [file["path"] for file in json.loads(body)["files"]]
            self._answer(
                {
                    "files": [
                        {"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in files
                    ]
                }
            )
        elif "/commit/" in self.path:
            url = f"http://{self.headers['Host']}/shop/model/commit/abc"
            self._answer({"success": True, "commitOid": "abc", "commitUrl": url})
        else:
            self._answer({"errors": [], "warnings": []})

    def do_GET(self) -> None:
        self._answer({"error": "Invalid username or password."}, status=401)

    def _answer(self, content: Any, *, status: int = 200) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: Any) -> None:
        pass


def test_a_push_commits_all_files_with_the_token_of_the_environment(
    run: Path, trained: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    hub = type("Hub", (_Hub,), {"said": {}})
    server = LocalServer(hub)
    with server.running():
        export(
            settings(
                run,
                push="shop/model",
                endpoint=server.url,
                **{"paths.data_dir": trained / "data"},
            )
        )
    assert hub.said["token"] == "Bearer hf_of_a_test"
    made = json.loads(hub.said["/api/repos/create"])
    assert (made["organization"], made["name"]) == ("shop", "model")
    lines = hub.said["/api/models/shop/model/commit/main"].splitlines()
    sent = {line["value"]["path"] for line in map(json.loads, lines) if line["key"] == "file"}
    assert sent == {
        path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("kind", ["refuses", "is not there"])
def test_a_hub_that_does_not_take_it_is_one_line(
    run: Path, trained: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    hub = type("Hub", (_Hub,), {"said": {}, "refuses": True})
    server = LocalServer(hub)
    endpoint = server.url if kind == "refuses" else "http://127.0.0.1:9"
    cfg = settings(
        run, push="shop/model", endpoint=endpoint, **{"paths.data_dir": trained / "data"}
    )
    with server.running(), pytest.raises(OSError, match=r"push \(shop/model\)") as refused:
        export(cfg)
    assert "\n" not in str(refused.value)
