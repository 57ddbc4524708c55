from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools import kept
from tools.dashboards import fleet, objectives, pipeline

FOLDER = kept.ROOT / "collector-config" / "grafana" / "dashboards"


def files() -> Iterator[kept.File]:
    """Return the dashboards as their files should be."""
    for module in (fleet, pipeline, objectives):
        text = json.dumps(module.dashboard(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
        yield FOLDER / f"{module.__name__.rpartition('.')[2]}.json", f"{text}\n"


if __name__ == "__main__":
    sys.exit(kept.main("python -m tools.dashboards", "the dashboards of Grafana", files))
