"""`python src/prepare.py`: a source of data into domain folders."""

from __future__ import annotations

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from missrec.data.domain import DomainSource, write_domain
from missrec.data.manifest import replace_folder
from missrec.data.statistics import DomainStatistics, domain_statistics
from missrec.features.store import write_features
from missrec.reporting.tables import print_statistics


def prepare(cfg: DictConfig) -> list[DomainStatistics]:
    """Makes every domain folder of `cfg.data`; prints its row of the paper's Table 1.

    A folder takes its place only when it is whole. An existing one is replaced.
    """
    statistics = [
        _prepare_domain(Path(cfg.paths.data_dir) / name, instantiate(source, _convert_="all"))
        for name, source in cfg.data.sources.items()
    ]
    print_statistics(statistics)
    return statistics


def prepare_missing(cfg: DictConfig) -> None:
    """Makes the folders that are not there yet, where `cfg.data` says it may.

    The embedded demo is made on first use; real data is prepared by the user's own command.
    """
    missing = [
        name for name in cfg.data.sources if not (Path(cfg.paths.data_dir) / str(name)).exists()
    ]
    if not missing:
        return
    if not cfg.data.made_on_first_use:
        raise FileNotFoundError(
            f"{Path(cfg.paths.data_dir) / str(missing[0])} is missing; make it with "
            f"`python src/prepare.py data={cfg.data.name}`"
        )
    prepare(cfg)


def _prepare_domain(folder: Path, source: DomainSource) -> DomainStatistics:
    prepared = source.read()
    with replace_folder(folder) as draft:
        write_domain(draft, prepared)
        write_features(draft, prepared.features, settings=prepared.settings)
    return domain_statistics(prepared)
