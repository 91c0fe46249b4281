"""The worker: executes routines for a coordinator. It decides nothing about a run, and never runs user code on the
bus's loop."""

from longshore.worker.config import SESSION_VARIABLE, Exit, WorkerConfig, new_session
from longshore.worker.lifeline import heed_supervisor
from longshore.worker.service import Worker
from longshore.worker.supervisor import Supervisor

__all__ = ["SESSION_VARIABLE", "Exit", "Supervisor", "Worker", "WorkerConfig", "heed_supervisor", "new_session"]
