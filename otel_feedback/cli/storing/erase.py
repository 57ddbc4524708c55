"""`otel-feedback erase`: keep a rule of erasure, and see to it that the store obeys it, by its writer or here.

Exit code 0 when nothing of it is left in the store; 1 when that could not be done yet, though the rule may be kept.
"""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from pathlib import Path

from otel_feedback.cli import env_file
from otel_feedback.cli.console import CORRECT_IT, failed, moment, number_of, remark
from otel_feedback.downstream.store import erasures
from otel_feedback.downstream.store import manifest as manifests
from otel_feedback.downstream.store.erasures import Rule
from otel_feedback.downstream.store.folder import StoreBusyError, StoreError, StoreFolder
from otel_feedback.downstream.store.keeping import Limits
from otel_feedback.downstream.store.writer import StoreWriter
from otel_feedback.errors import ConfigError
from otel_feedback.settings.store import get_store_settings

__all__ = ["run"]

LOOK_S = 0.2


def run(
    *,
    directory: Path | None,
    tenant: str | None,
    user: str | None,
    before: datetime | None,
    for_good: bool,
    as_json: bool,
) -> int:
    """Keep the rule, have it obeyed, and return the exit code.

    Args:
        directory: Of the store; None: that of the settings.
        tenant: Whose events go; None: the user's.
        user: Whose events go; None: the tenant's.
        before: Only events up to then; None: up to now.
        for_good: Also those that are still to come.
        as_json: Write one JSON object and nothing else.
    """
    import duckdb  # noqa: F401 # pyright: ignore[reportUnusedImport]  # or nothing is begun

    env_file.load()
    now = datetime.now(timezone.utc)
    folder: StoreFolder | None = None
    rule: Rule | None = None
    try:
        folder = _store(directory)
        until = None if for_good else before or now
        rule = erasures.add(folder, "user_id" if tenant is None else "tenant_id", _an_id(tenant or user), until, now)
        erased = _have_it_obeyed(folder, rule)
    except ConfigError as exc:
        failed(str(exc), CORRECT_IT)
    except StoreError as exc:
        failed(str(exc), "correct --store or OTEL_FEEDBACK_STORE_DIR; nothing was erased")
    except OSError as exc:
        kept = "the rule is kept: the store's writer will obey it" if rule else "nothing was erased"
        failed(f"{exc.filename or (folder and folder.path)}: {exc.strerror or exc}", kept)
    except KeyboardInterrupt:
        if rule is not None:
            failed("not everything was erased yet", "the rule is kept: the store's writer goes on with it")
        raise
    else:
        if as_json:
            shown = None if rule.until is None else rule.until.isoformat()
            print(json.dumps({"store": str(folder.path), "erased": erased, "until": shown}, indent=2))
        else:
            shown = "for good" if rule.until is None else f"up to {moment(rule.until)}"
            print(f"{number_of(erased, 'row')} erased from {folder.path}; kept out: events {shown}")
        return 0
    return 1


def _store(directory: Path | None) -> StoreFolder:
    folder = StoreFolder(get_store_settings(directory=directory).directory)
    if not folder.path.is_dir():
        raise StoreError(f"there is no store in {folder.path}")
    return folder


def _an_id(given: str | None) -> str:
    if not given:
        raise StoreError("an empty id is nobody's")
    return given


def _have_it_obeyed(folder: StoreFolder, rule: Rule) -> int:
    """Wait until the writer has obeyed; be the writer where there is none. Return how many rows went."""
    before = manifests.load(folder).counts.get("erased", 0)
    while True:
        manifest = manifests.load(folder)
        if rule.id in manifest.erasures:
            return manifest.counts.get("erased", 0) - before
        try:
            with folder.writing():
                _obey(folder)
        except StoreBusyError:
            time.sleep(LOOK_S)


def _obey(folder: StoreFolder) -> None:
    problems: list[str] = []
    writer = StoreWriter(folder, Limits(), lambda _kind, text: problems.append(text), lambda _line, _why: None)
    writer.start()
    try:
        writer.close()
    except BaseException:  # Ctrl-C among them
        writer.abandon()
        raise
    if writer.problem is not None:
        raise OSError(None, problems[-1])
    for text in problems:  # what was found on the way
        remark(text)
