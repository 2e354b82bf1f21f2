"""Curves, tables, pictures and artifacts in MLflow: a server's, or a database beside the runs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import yaml
from pytorch_lightning.loggers.logger import Logger

from missrec.files import write_text
from missrec.runs.settings import leaves
from missrec.tracking.tracker import Artifact

_AT_ONCE, _LONGEST = 100, 500
"""Parameters a request, and letters of one, that every server takes."""
_CLIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Unless the environment says otherwise: its own patience is minutes a request, and it would tell
its makers of the run."""
_DATABASE = "sqlite:///"

_log = logging.getLogger(__name__)


class MLflowTracker(Logger):
    """A run of MLflow.

    A run resumed in the same folder continues the same MLflow run. MLflow has no `@` in the name of
    a metric: `val/ndcg@10` is `val/ndcg_at_10` there. Where the server does not answer, the run
    says so once and goes on without.
    """

    def __init__(
        self, *, save_dir: str, tracking_uri: str, experiment: str, group: str, run: str
    ) -> None:
        """Keeps the settings; the run starts with the first that is logged.

        Args:
            save_dir: run folder, which remembers the run's id.
            tracking_uri: address of a server, or `sqlite:///<file>`, beside which files are kept.
            experiment: name of the experiment, made where there is none.
            group: experiment or sweep, a tag of the run.
            run: name of the run.

        Raises:
            ValueError: the address is none.
        """
        super().__init__()
        if "://" not in tracking_uri and tracking_uri != "databricks":
            raise ValueError(
                f"tracking_uri ({tracking_uri}) must be the address of a server, such as "
                "http://127.0.0.1:5000, or a database, such as sqlite:///mlflow.db"
            )
        self._id_file = Path(save_dir) / "mlflow_id.txt"
        self._uri, self._experiment, self._group, self._run = tracking_uri, experiment, group, run
        self._client: Any = None
        self._run_id = ""
        self._is_gone = False

    @property
    def name(self) -> str:
        """Of the experiment."""
        return self._experiment

    @property
    def version(self) -> str:
        """The id of the run; empty before it has one."""
        return self._run_id

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """Each setting as a parameter, which keeps its first value, and all as `config.yaml`."""
        settings = {key: str(value)[:_LONGEST] for key, value in leaves(params)}

        def log(client: Any, run_id: str) -> None:
            from mlflow.entities import Param

            known = client.get_run(run_id).data.params
            new = [Param(key, value) for key, value in settings.items() if key not in known]
            for start in range(0, len(new), _AT_ONCE):
                client.log_batch(run_id, params=new[start : start + _AT_ONCE])
            client.log_text(run_id, yaml.safe_dump(params, sort_keys=False), "config.yaml")

        self._ask(log)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds to the curves."""

        def log(client: Any, run_id: str) -> None:
            from mlflow.entities import Metric

            now = int(time.time() * 1000)
            points = [
                Metric(key.replace("@", "_at_"), float(value), now, step or 0)
                for key, value in metrics.items()
            ]
            client.log_batch(run_id, points)

        self._ask(log)

    def show_table(self, key: str, table: pl.DataFrame) -> None:
        """As `<key>.csv` among the artifacts, which MLflow shows as a table."""
        text = table.write_csv()
        self._ask(lambda client, run_id: client.log_text(run_id, text, f"{key}.csv"))

    def show_figure(self, key: str, path: Path) -> None:
        """As `<key>.png` among the artifacts."""
        place, _, name = key.rpartition("/")
        self._log_files({f"{name}.png": path}, place)

    def keep(self, artifact: Artifact) -> None:
        """As a folder among the artifacts, its aliases as a tag of the run."""
        self._log_files(artifact.files, artifact.name)
        if artifact.aliases:
            aliases = ", ".join(artifact.aliases)
            self._ask(lambda client, run_id: client.set_tag(run_id, artifact.name, aliases))

    def end(self, *, failed: bool) -> None:
        """Ends the run, if it has started."""
        if self._client is not None:
            status = "FAILED" if failed else "FINISHED"
            self._ask(lambda client, run_id: client.set_terminated(run_id, status))

    def _log_files(self, files: Mapping[str, Path], place: str) -> None:
        """Under their names, which may differ from those of the files."""
        with TemporaryDirectory() as folder:
            for name, path in files.items():
                link = Path(folder) / name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.absolute())
            self._ask(lambda client, run_id: client.log_artifacts(run_id, folder, place))

    def _ask(self, what: Callable[[Any, str], object]) -> None:
        """Has the client do something for the run, or nothing where the server has gone."""
        if self._is_gone:
            return
        try:
            if self._client is None:
                self._client, self._run_id = self._started()
            what(self._client, self._run_id)
        except Exception as error:  # of any library below: no run is lost for its picture
            self._is_gone = True
            reason = " ".join(str(error).split())
            _log.warning("MLflow: %s: the run goes on without it: %s", self._uri, reason)

    def _started(self) -> tuple[Any, str]:
        for name, value in _CLIENT.items():
            os.environ.setdefault(name, value)
        from mlflow.exceptions import MlflowException  # takes seconds, and sets up its own log
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        files = None  # where a server puts them
        if self._uri.startswith(_DATABASE):
            folder = Path(self._uri.removeprefix(_DATABASE)).absolute().parent
            folder.mkdir(parents=True, exist_ok=True)
            files = (folder / "mlruns").as_uri()
        client = MlflowClient(self._uri)
        if self._id_file.exists():
            known = self._id_file.read_text(encoding="utf-8").strip()
            try:
                client.update_run(known, status="RUNNING")
                return client, known
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
        found = client.get_experiment_by_name(self._experiment)
        experiment_id = (
            client.create_experiment(self._experiment, artifact_location=files)
            if found is None
            else found.experiment_id
        )
        tags = {"group": self._group}
        run = client.create_run(experiment_id, run_name=self._run, tags=tags)
        write_text(self._id_file, run.info.run_id + "\n")
        return client, run.info.run_id
