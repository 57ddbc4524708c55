# pyright: basic, reportMissingImports=false
"""An application of Celery whose broker is a folder, beside the log: `celery -A celery_app worker`."""

import os
from pathlib import Path

from celery import Celery

import otel_feedback as feedback

folder = Path(os.environ["OTEL_FEEDBACK_LOG_FILE"]).parent / "broker"
folder.mkdir(exist_ok=True)
app = Celery("celery_app", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": folder,
        "data_folder_out": folder,
        "control_folder": folder / "control",
    },
    worker_max_tasks_per_child=int(os.environ["TASKS_PER_CHILD"]),
    worker_prefetch_multiplier=1,
)
feedback.configure()


@app.task
def work(number: int) -> None:
    """Do one action."""
    with feedback.action("task", metadata={"number": number}):
        pass
