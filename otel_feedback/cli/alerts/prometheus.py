"""`otel-feedback alerts prometheus`: the same rules and channels, as Prometheus and Alertmanager have them."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from otel_feedback.cli.alerts.place import name_of, read_rules
from otel_feedback.cli.console import failed, number_of, open_console, remark, write
from otel_feedback.downstream.alerts.prometheus.writing import MARK
from otel_feedback.downstream.alerts.prometheus.writing import write as written_of

__all__ = ["run"]

RULES, ALERTMANAGER = Path("rules/otel-feedback.yaml"), Path("alertmanager.yaml")


def run(*, rules: str | None, out: str | None, secrets: str) -> int:
    """Write both files, and return the exit code: 0, or 1 when the rules have mistakes, or they cannot be written.

    Args:
        rules: The file of rules.
        out: The folder to write to; None: to stdout, one below the other.
        secrets: Where Alertmanager finds its secrets.
    """
    file = read_rules(rules)
    if file is None:
        return 1
    written = written_of(file, Path(name_of(rules)).name, secrets)
    texts = {RULES: written.rules, ALERTMANAGER: written.alertmanager}
    if out is None:
        print("---\n".join(f"# {path}\n{text}" for path, text in texts.items()), end="")
    else:
        folder = Path(out).expanduser()
        for path, text in texts.items():
            if not _put(folder / path, text):
                return 1
        said = ", ".join(str(folder / path) for path in texts)
        write(open_console(), Text(f"{said}: {number_of(written.rules.count('- alert:'), 'rule')}", "green"))
    for line in written.unsaid:
        remark(line)
    for line in written.secrets:
        remark(f"to be written, for Alertmanager alone: {line}")
    return 0


def _put(path: Path, text: str) -> bool:
    try:
        if path.exists() and MARK not in path.read_text(encoding="utf-8"):
            failed(f"{path} is there, and was not made by this command", "move it away, or name another --out")
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        failed(f"{path} cannot be written: {exc}", "name another --out")
        return False
    return True
