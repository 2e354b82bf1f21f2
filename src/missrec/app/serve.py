"""`python src/serve.py`: a run behind HTTP, by one process or by several."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from missrec.app.session import plain
from missrec.app.trained.load_settings import LoadSettings, read_load_settings
from missrec.features.checks import check_truths
from missrec.serving.keys import ApiKeys
from missrec.serving.settings import ServiceSettings

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_NEEDED = ("fastapi", "prometheus_client", "uvicorn")
_BACKLOG = 2048  # connections that wait, as uvicorn has it
_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """The settings of the command; every process of a service gets them.

    Attributes:
        load: what is loaded, and how.
        host: to listen on.
        port: to listen on; 0 takes a free one.
        workers: processes.
        threads: of torch in each; None shares the cores out.
        device: of the model.
        stop_sec: how long requests that have begun may take to end.
        start_sec: how long a process may take to start.
        log_level: of what is logged.
        service: of the service itself.
    """

    load: LoadSettings
    host: str
    port: int
    workers: int
    threads: int | None
    device: str
    stop_sec: int
    start_sec: int
    log_level: str
    service: ServiceSettings


def read_settings(cfg: DictConfig) -> ServeSettings:
    """The settings of the command.

    Raises:
        OSError: the file of keys cannot be read.
        ValueError: a setting is none that there can be, or other machines would be answered
            without keys.
    """
    config = plain(cfg)
    load = read_load_settings(config)
    _check(config)
    keys = None if config["keys"] is None else ApiKeys.read(Path(config["keys"]).expanduser())
    is_local = _is_loopback(config["host"])
    if keys is None and not is_local and not config["no_keys"]:
        raise ValueError(
            f"host ({config['host']}) answers other machines, and anyone there could ask; add "
            "keys=<file>, or no_keys=true"
        )
    hosts = config["hosts"]
    if hosts is None and keys is None and is_local:
        # Or any page in a browser of this machine could ask by a name that leads here.
        hosts = _LOOPBACK_NAMES
    limits = config["limits"]
    service = ServiceSettings(
        keys=keys,
        batch_sec=config["batch_ms"] / 1000,
        max_batch=config["max_batch"],
        max_waiting=config["max_waiting"],
        max_body_bytes=limits["body_bytes"],
        max_body_sec=limits["body_sec"],
        max_history=limits["history"],
        max_k=limits["k"],
        max_listed=limits["listed"],
        max_lists=limits["lists"],
        max_items=limits["items"],
        allowed_hosts=None if hosts is None else tuple(hosts),
    )
    own = {
        field.name: config[field.name] for field in fields(ServeSettings) if field.name in config
    }
    return ServeSettings(**{**own, "load": load, "service": service})


def serve(settings: ServeSettings) -> None:
    """Answers until it is told to stop.

    Raises:
        FileNotFoundError: the run, its data or its checkpoint is missing.
        OSError: the port cannot be had.
        ValueError: the run cannot be served, or what serves it is not installed.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"serving needs {', '.join(missing)}; install it with pip install 'missrec[serve]'"
        )
    from missrec.app.serve_processes import serve_alone, serve_by_workers

    (serve_alone if settings.workers == 1 else serve_by_workers)(settings)


def listening(settings: ServeSettings) -> socket.socket:
    """A socket that listens; who connects before it is served waits.

    Raises:
        OSError: says which address cannot be had.
    """
    address = (settings.host, settings.port)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen(_BACKLOG)  # two that start at once could both bind
    except OSError as error:
        bound.close()
        raise OSError(
            f"host={settings.host} port={settings.port} cannot be had: {error.strerror}; name "
            "others, such as port=0 for a free one"
        ) from error
    bound.set_inheritable(True)
    return bound


def _check(config: Mapping[str, Any]) -> None:
    check_truths(no_keys=config["no_keys"])
    if not isinstance(config["keys"], str | None):
        raise ValueError(f"keys ({config['keys']}) must name a file")
    if not isinstance(config["host"], str):
        raise ValueError(f"host ({config['host']}) must be a name or an address")
    whole = ["workers", "max_batch", "max_waiting", "stop_sec", "start_sec"]
    numbers = {name: config[name] for name in whole}
    numbers |= {f"limits.{name}": value for name, value in config["limits"].items()}
    if config["threads"] is not None:
        numbers["threads"] = config["threads"]
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} ({value}) must be a whole number of at least 1")
    _check_file_of_milvus(str(config["index"]), config["workers"])
    port, wait = config["port"], config["batch_ms"]
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 1 << 16:
        raise ValueError(f"port ({port}) must be a whole number of 0 to 65535")
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 <= wait <= 1000:
        raise ValueError(f"batch_ms ({wait}) must be a number of 0 to 1000")
    if config["log_level"] not in _LEVELS:
        raise ValueError(f"log_level ({config['log_level']}) must be one of {', '.join(_LEVELS)}")
    hosts = config["hosts"]
    if hosts is not None and not (
        isinstance(hosts, list) and hosts and all(isinstance(name, str) for name in hosts)
    ):
        raise ValueError(f"hosts ({hosts}) must be a list of names, such as hosts=[shop.example]")


def _check_file_of_milvus(index: str, workers: int) -> None:
    if workers > 1 and index.startswith("milvus:") and index.endswith(".db"):
        raise ValueError(
            f"index ({index}) is a file that one process opens, and workers is {workers}; take "
            "workers=1, the address of a Milvus server, or index=faiss, which workers share"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
