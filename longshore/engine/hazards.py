"""What differs each time a workflow's code runs again, by full name, and what to write instead. A table, no acts."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final, NamedTuple


class Hazard(NamedTuple):
    """Why a name does not belong in a workflow; `instead` completes "use"."""

    why: str
    instead: str


_TASK: Final = "a routine for it, `@define.action(name=...)` or `@define.task(name=...)`, and await it here"
_CLOCK: Final = Hazard("reads the clock", "context.now")
_MEASURE: Final = Hazard("reads the clock", "context.now, or measure inside a task")
_CHANCE: Final = Hazard("draws by chance", "context.random")
_UUID: Final = Hazard("draws by chance", "context.uuid4()")
_SECRET: Final = Hazard("draws by chance", f"context.random or, for a secret, {_TASK}")
_HOST: Final = Hazard("differs between workers", f"an argument of the workflow, or {_TASK}")
_FILE: Final = Hazard("looks at files, which change", _TASK)
_PROCESS: Final = Hazard("starts a process", _TASK)
_THREAD: Final = Hazard("uses threads", _TASK)
_NETWORK: Final = Hazard("uses the network", _TASK)
_BLOCK: Final = Hazard("holds up all workflows of the worker", "`await asyncio.sleep(...)`")
UNORDERED: Final = Hazard("has no order that is the same everywhere", "sorted(...), or a list or dict")
EXECUTOR: Final = _THREAD

NAMES: Final[dict[str, Hazard]] = {
    **dict.fromkeys(("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"), _CLOCK),
    **dict.fromkeys(("datetime.date.today", "time.time", "time.time_ns"), _CLOCK),
    **dict.fromkeys((f"time.{name}{unit}" for name in ("monotonic", "perf_counter") for unit in ("", "_ns")), _MEASURE),
    **dict.fromkeys(
        (f"time.{name}{unit}" for name in ("process_time", "thread_time") for unit in ("", "_ns")), _MEASURE
    ),
    "time.sleep": _BLOCK,
    **dict.fromkeys((f"uuid.uuid{number}" for number in (1, 4, 6, 7)), _UUID),
    **dict.fromkeys(("os.urandom", "os.getrandom", "random.SystemRandom"), _SECRET),
    **dict.fromkeys(("os.environ", "os.environb", "os.getenv", "os.getenvb", "os.getpid", "os.getcwd"), _HOST),
    **dict.fromkeys(("os.uname", "os.cpu_count", "socket.gethostname", "socket.getfqdn", "platform.node"), _HOST),
    "builtins.input": Hazard("waits for a person at a terminal", "an argument of the workflow"),
    **dict.fromkeys(("builtins.open", "os.listdir", "os.scandir", "os.walk", "os.stat", "glob.glob"), _FILE),
    **dict.fromkeys(("os.system", "os.popen", "os.fork"), _PROCESS),
    **dict.fromkeys(("asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"), _PROCESS),
    **dict.fromkeys(("asyncio.to_thread", "asyncio.run_coroutine_threadsafe"), _THREAD),
    "asyncio.run": Hazard("runs a loop of its own, which is refused inside of another", "`await` on the coroutine"),
    **dict.fromkeys(("asyncio.open_connection", "asyncio.start_server", "asyncio.open_unix_connection"), _NETWORK),
}
"""Naming one of these is enough."""

FAMILIES: Final[dict[str, Hazard]] = {
    "random.": _CHANCE,
    "numpy.random.": _CHANCE,
    "secrets.": _SECRET,
    "threading.": _THREAD,
    "_thread.": _THREAD,
    "concurrent.futures.": _THREAD,
    "multiprocessing.": _PROCESS,
    "subprocess.": _PROCESS,
    "os.exec": _PROCESS,
    "os.spawn": _PROCESS,
    "os.posix_spawn": _PROCESS,
    "socket.": _NETWORK,
    "urllib.request.": _NETWORK,
    "http.client.": _NETWORK,
    "requests.": _NETWORK,
    "httpx.": _NETWORK,
    "aiohttp.": _NETWORK,
    "pathlib.Path().": _FILE,
}
"""Calling something whose name begins like this."""

SEEDED: Final = frozenset({"random.Random", "numpy.random.default_rng", "numpy.random.RandomState", "random.seed"})
"""Calls of a family that are harmless with an argument: the same seed gives the same numbers."""

HARMLESS_OF_PATHS: Final = frozenset(
    {"as_posix", "as_uri", "is_absolute", "is_relative_to", "joinpath", "match", "relative_to", "with_name"}
    | {"with_segments", "with_stem", "with_suffix"}
)
"""Methods of a path that look at nothing but its text."""

_LOOKED_UP: Final = ("random", "secrets", "time", "uuid", "subprocess", "threading", "socket", "asyncio", "os", "glob")


def hazard(name: str, *, called: bool, arguments: bool) -> Hazard | None:
    """What is wrong with naming this in a workflow or, if `called`, with calling it (with or without arguments)."""
    found = NAMES.get(name)
    if found is not None or not called:
        return found
    if arguments and name in SEEDED:
        return None
    family = next((family for family in FAMILIES if name.startswith(family)), None)
    if family == "pathlib.Path()." and name.rpartition(".")[2] in HARMLESS_OF_PATHS:
        return None
    return None if family is None else FAMILIES[family]


def looked_up() -> Iterator[tuple[Any, str]]:
    """What modules with hazards offer, and its full name."""
    for module in filter(None, map(sys.modules.get, _LOOKED_UP)):
        for name in getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]:
            value = vars(module).get(name)
            if not isinstance(value, ModuleType):
                yield value, f"{module.__name__}.{name}"


def full_names() -> dict[int, str]:
    """The names of functions that do not know their own, by identity; `random.choice` is a method of some object."""
    found = {id(builtins.open): "builtins.open", id(builtins.input): "builtins.input"}
    found.update((id(value), name) for value, name in looked_up())
    if "pathlib" in sys.modules:
        found[id(sys.modules["pathlib"].Path)] = "pathlib.Path"
    return found


def full_name(value: Any, known: dict[int, str]) -> str:
    """The full name of something found in a module, or "". Looks at types only: it runs none of the user's code."""
    name = known.get(id(value))
    if name is not None:
        return name
    kind = type(value)
    if issubclass(kind, ModuleType):
        return str(vars(value).get("__name__", ""))
    if kind in (BuiltinFunctionType, MethodType) and issubclass(type(value.__self__), type):
        return f"{full_name(value.__self__, known)}.{value.__name__}"
    if issubclass(kind, type) or kind in (FunctionType, BuiltinFunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    return ""
