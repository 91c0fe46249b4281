"""The commands, typed in a second terminal beside a real `longshore dev`."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import uuid

import pytest

from longshore.cli.app import COMMANDS
from tests.cli.conftest import Terminal, end
from tests.support.wait import eventually_sync

NOBODY = "01900000-0000-7000-8000-000000000000"


def test_trigger_prints_the_run_id_and_the_run_completes(dev: Terminal) -> None:
    done = dev.run("trigger", "add", "--args", "[2]", "--kwargs", '{"b": 40}')
    assert done.returncode == 0, done.stderr
    run_id = done.stdout.strip()
    assert uuid.UUID(run_id).version == 7
    assert dev.run("runs", "watch", run_id).returncode == 0
    assert dev.json("runs", "show", run_id)["result"] == 42


def test_trigger_and_wait_prints_the_result_and_how_it_went(dev: Terminal) -> None:
    done = dev.run("trigger", "add", "--arg", "a=5", "--arg", "b=6", "--wait")
    assert (done.returncode, done.stdout.strip()) == (0, "11"), done.stderr
    assert "COMPLETED" in done.stderr


def test_the_document_of_a_wait_has_the_fields_of_a_run_and_its_result(dev: Terminal) -> None:
    document = dev.json("trigger", "add", "--arg", "a=1", "--tag", "mine", "--metadata", '{"n": 1}', "--wait")
    assert document["result"] == 2
    assert (document["status"], document["routine"], document["version"]) == ("COMPLETED", "add", "1.0.0")
    assert (document["tags"], document["metadata"], document["attempt"]) == (["mine"], {"n": 1}, 1)


def test_a_failed_run_is_one_red_line_advice_and_status_1(dev: Terminal) -> None:
    done = dev.run("trigger", "fail", "--arg", "text=too bad", "--wait")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "RunFailed" in done.stderr
    assert "too bad" in done.stderr
    assert "longshore runs show" in done.stderr
    document = dev.json("trigger", "fail", "--arg", "text=too bad", "--wait", status=1)
    assert document["status"] == "FAILED"
    assert document["error"]["type"].endswith("ValueError")
    assert "too bad" in document["error"]["message"]
    assert "routines.py" in document["error"]["traceback"]
    (row,) = dev.json("runs", "tree", document["run_id"])
    assert (row["call"], row["error"]["message"]) == ("text='too bad'", "too bad")
    assert "ValueError: too bad" in dev.run("runs", "tree", document["run_id"]).stdout


def test_the_same_run_id_twice_is_one_run(dev: Terminal) -> None:
    wanted = str(uuid.uuid4())
    for _ in range(2):
        assert dev.json("trigger", "nap", "--arg", "seconds=0", "--run-id", wanted, "--wait")["run_id"] == wanted
    assert len([run for run in dev.lines("runs", "list") if run["run_id"] == wanted]) == 1


def test_list_filters_by_status_routine_and_tag_newest_first(dev: Terminal) -> None:
    ids = [dev.json("trigger", "add", "--arg", f"a={n}", "--tag", "listed", "--wait")["run_id"] for n in (101, 102)]
    found = dev.lines("runs", "list", "--tag", "listed", "--status", "completed", "--routine", "add")
    assert [run["run_id"] for run in found] == ids[::-1]
    assert dev.lines("runs", "list", "--tag", "nobody has this") == []
    plain = dev.run("runs", "list", "--tag", "listed", "--limit", "1")
    header, row = plain.stdout.splitlines()
    assert header.startswith("RUN ")
    assert row.startswith(ids[1])


def test_history_shows_every_change(dev: Terminal) -> None:
    run_id = dev.json("trigger", "nap", "--arg", "seconds=0", "--wait")["run_id"]
    rows = dev.lines("runs", "history", run_id)
    assert [row["to_status"] for row in rows] == ["QUEUED", "DISPATCHED", "EXECUTING", "COMPLETED"]
    assert [row["seq"] for row in rows] == [1, 2, 3, 4]
    assert "DISPATCHED" in dev.run("runs", "history", run_id).stdout


def test_the_tree_has_bars_offloaded_sizes_and_cached_marks(dev: Terminal) -> None:
    words = ("trigger", "both", "--arg", "a=7", "--arg", "b=8", "--wait")
    first, second = dev.json(*words), dev.json(*words)
    assert first["result"] == second["result"] == 100_017
    rows = dev.json("runs", "tree", first["run_id"])
    assert sorted(row["routine"] for row in rows) == ["add", "add", "big", "both"]
    (big,) = (row for row in rows if row["routine"] == "big")
    assert big["result_size"] >= 100_000
    assert sorted(row["call"] for row in rows if row["routine"] == "add") == ["7, 1", "8, 1"]
    drawn = dev.run("runs", "tree", first["run_id"]).stdout
    assert "7, 1" in drawn
    assert "└─ " in drawn
    assert "█" in drawn
    assert "offloaded" in drawn
    again = dev.run("runs", "tree", second["run_id"]).stdout
    assert again.count("from the cache") == 3


def test_why_names_the_missing_routine_and_cancel_ends_the_wait(dev: Terminal) -> None:
    run_id = dev.run("trigger", "ad", "--arg", "a=1").stdout.strip()
    why = dev.json("runs", "why", run_id)
    assert why["kind"] == "version"
    assert "add" in why["text"]
    assert "add" in dev.run("runs", "why", run_id).stdout
    assert dev.json("runs", "cancel", run_id, "--reason", "a slip")["status"] == "CANCELED"
    assert dev.lines("runs", "history", run_id)[-1]["reason"]
    assert "a slip" in dev.run("runs", "show", run_id).stdout


def test_a_long_wait_says_why(dev: Terminal) -> None:
    done = dev.run("trigger", "ad", "--wait-timeout", "7")
    assert done.returncode == 1
    assert "still waiting" in done.stderr
    assert "add" in done.stderr
    assert "goes on" in done.stderr
    for run in dev.lines("runs", "list", "--routine", "ad", "--status", "PENDING_VERSION"):
        dev.run("runs", "cancel", run["run_id"])


def test_ctrl_c_ends_the_wait_and_says_that_the_run_goes_on(dev: Terminal) -> None:
    go = dev.folder / "go-on"
    waiting = dev.start("trigger", "held", "--arg", f"until={go}", "--wait", stderr=subprocess.PIPE)
    assert waiting.stderr is not None
    said: list[str] = []
    while not said or "EXECUTING" not in said[-1]:
        said.append(waiting.stderr.readline())
        assert said[-1], said
    waiting.send_signal(signal.SIGINT)
    rest = waiting.stderr.read()
    waiting.stderr.close()
    assert waiting.wait(10) == 1
    assert "the run goes on" in rest
    assert "longshore runs watch" in rest
    (run,) = dev.lines("runs", "list", "--routine", "held", "--status", "EXECUTING")
    assert run["run_id"] in rest
    go.touch()
    assert dev.run("runs", "watch", run["run_id"]).returncode == 0


def test_watch_is_a_stream_of_json_lines_to_the_end(dev: Terminal) -> None:
    run_id = dev.run("trigger", "nap", "--arg", "seconds=0.5").stdout.strip()
    assert [change["status"] for change in dev.lines("runs", "watch", run_id)][-1] == "COMPLETED"


def test_workers_are_listed_with_what_they_offer(dev: Terminal) -> None:
    (worker,) = dev.lines("workers", "list")
    assert worker["slots"] == 16
    assert "add@1.0.0" in worker["offers"]
    assert worker["worker_id"] in dev.run("workers", "list").stdout


def test_no_dead_letters_is_an_answer(dev: Terminal) -> None:
    assert dev.lines("dead", "list") == []
    assert dev.run("dead", "list").returncode == 0


def test_an_order_on_a_run_in_the_wrong_status_is_refused_with_status_2_and_recorded(dev: Terminal) -> None:
    run_id = dev.json("trigger", "add", "--arg", "a=1", "--wait")["run_id"]
    for words, said in (
        (("runs", "cancel", run_id), f"run {run_id} is COMPLETED already"),
        (("runs", "resume", run_id), "only what is BLOCKED can be resumed"),
    ):
        done = dev.run(*words)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
        last = dev.lines("runs", "history", run_id)[-1]
        assert (last["valid"], last["from_status"], last["to_status"]) == (False, "COMPLETED", "COMPLETED")
    assert dev.run("runs", "signal", run_id, "go").returncode == 2
    assert "refused: resume refused: it is COMPLETED" in dev.run("runs", "history", run_id).stdout


def test_the_doctor_finds_nothing_wrong_beside_a_running_dev(dev: Terminal) -> None:
    findings = dev.json("doctor")
    assert {finding["state"] for finding in findings} <= {"ok", "warn"}, findings
    assert {finding["check"] for finding in findings} >= {"broker", "database", "storage", "coordinator", "clock"}


def test_the_socket_and_its_folder_are_closed_to_others(dev: Terminal) -> None:
    folder = dev.folder / ".longshore"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "bus.sock").stat().st_mode) == 0o600


def test_a_second_dev_in_the_same_folder_is_refused(dev: Terminal) -> None:
    done = dev.run("dev", "routines")
    assert done.returncode == 2
    assert "already runs here" in done.stderr


def test_a_coordinator_beside_a_running_dev_is_refused_and_takes_nothing_from_it(dev: Terminal) -> None:
    done = dev.run("coordinator")
    assert done.returncode == 2
    assert "is this folder's coordinator" in done.stderr
    dev.environment["LONGSHORE_BROKER_URL"] = "amqp://guest:guest@127.0.0.1:1/"
    done = dev.run("coordinator")
    del dev.environment["LONGSHORE_BROKER_URL"]
    assert done.returncode == 2
    assert dev.run("workers", "list").returncode == 0


def test_a_killed_worker_is_replaced_and_its_run_completes(dev: Terminal) -> None:
    go = dev.folder / "go-again"
    run_id = dev.run("trigger", "held", "--arg", f"until={go}").stdout.strip()

    def executing() -> bool:
        return bool(dev.json("runs", "show", run_id)["status"] == "EXECUTING")

    eventually_sync(executing, within=20)
    worker_id = dev.json("runs", "show", run_id)["worker_id"]
    os.kill(int(worker_id.split("-")[-2]), signal.SIGKILL)
    go.touch()
    assert dev.run("runs", "watch", run_id, "--timeout", "40").returncode == 0
    run = dev.json("runs", "show", run_id)
    assert (run["status"], run["crashes"]) == ("COMPLETED", 1)
    assert run["worker_id"] != worker_id
    assert worker_id not in {worker["worker_id"] for worker in dev.lines("workers", "list")}
    assert worker_id not in dev.run("workers", "list").stdout
    closed = {worker["worker_id"]: worker["status"] for worker in dev.lines("workers", "list", "--all")}
    assert closed[worker_id] == "CLOSED"
    assert worker_id in dev.run("workers", "list", "--all").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("trigger",), "Missing argument"),
        (("trigger", "add", "--args", "{"), "--args is not JSON"),
        (("runs", "shwo"), "No such command"),
        (("runs", "list", "--limit", "0"), "--limit"),
        (("trigger", "add", "--delay", "soon"), "soon"),
    ],
)
def test_usage_errors_have_status_2_and_a_json_form(terminal: Terminal, words: tuple[str, ...], said: str) -> None:
    done = terminal.run(*words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    done = terminal.run(*words, "--json")
    assert said in json.loads(done.stderr)["error"]["message"]


def test_a_group_without_a_command_says_so(terminal: Terminal) -> None:
    done = terminal.run("runs")
    assert done.returncode == 2
    assert "`longshore runs` needs a command" in done.stderr


def test_without_any_broker_the_error_is_clear_and_quick(terminal: Terminal) -> None:
    terminal.environment["LONGSHORE_BROKER_URL"] = "amqp://guest:guest@127.0.0.1:1/"
    done = terminal.run("trigger", "add", "--arg", "a=1", within=20)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "longshore dev" in done.stderr
    assert "guest:guest" not in done.stderr


def test_a_look_at_an_empty_folder_leaves_it_closed_to_others(terminal: Terminal) -> None:
    terminal.environment["LONGSHORE_BROKER_URL"] = "amqp://guest:guest@127.0.0.1:1/"
    terminal.run("doctor")
    assert stat.S_IMODE((terminal.folder / ".longshore").stat().st_mode) == 0o700
    [folders] = [finding for finding in terminal.json("doctor", status=1) if finding["check"] == "folders"]
    assert folders["state"] == "ok"


def test_a_wrong_setting_names_its_variable(terminal: Terminal) -> None:
    terminal.environment["LONGSHORE_BROKER_URL"] = "http://localhost"
    done = terminal.run("runs", "list")
    assert done.returncode == 2
    assert "LONGSHORE_BROKER_URL" in done.stderr


def test_a_module_that_is_not_there_ends_dev_with_its_name(terminal: Terminal) -> None:
    done = terminal.run("dev", "no_such_module", within=30)
    assert done.returncode == 2
    assert "no_such_module" in done.stderr


@pytest.mark.parametrize(
    ("source", "said", "advice"),
    [
        (None, "there is no module 'mine'", "PYTHONPATH"),
        ("import no_such_part\n", "module 'mine' needs 'no_such_part'", "install what is missing"),
        ("text = 'two'\nint(text)\n", "ValueError: invalid literal", "mine.py, line 2"),
        ("x = 1\ny = (\n", "SyntaxError", "mine.py, line 2"),
        (
            "from longshore import define\n\n@define.task(name='x', version='1')\ndef x() -> None: ...\n",
            "'1' is not a version",
            "mine.py, line 3",
        ),
        ("import sys\nsys.exit(0)\n", "ended the process when it was imported", "__main__"),
        ("x = 1\n", "no routines in mine", "@define.task"),
    ],
)
def test_a_worker_whose_module_is_wrong_says_so_once_and_ends(
    terminal: Terminal, source: str | None, said: str, advice: str
) -> None:
    """Without any broker, too: a worker that cannot work has nothing to wait for."""
    terminal.environment["LONGSHORE_BROKER_URL"] = "amqp://guest:guest@127.0.0.1:1/"
    if source is not None:
        (terminal.folder / "mine.py").write_text(source)
    done = terminal.run("worker", "mine", "--processes", "2", within=30)
    assert (done.returncode, done.stdout) == (2, "")
    lines = [line for line in done.stderr.splitlines() if "broker" not in line]
    assert len(lines) == 2, done.stderr
    assert lines[0].startswith("UsageError: ")
    assert said in lines[0]
    assert advice in lines[1]


def test_dev_survives_its_own_restart_with_its_runs(terminal: Terminal) -> None:
    (terminal.folder / "mine.py").write_text(
        "from longshore import define\n\n@define.task(name='one', version='1.0.0')\ndef one() -> int:\n    return 1\n"
    )
    ids = []
    for _ in range(2):
        process = terminal.start("dev", "mine", "--json", stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            process.stdout.readline()
            ids.append(terminal.json("trigger", "one", "--wait")["run_id"])
        finally:
            assert end(process) == 0
            assert process.stdout is not None
            process.stdout.close()
        assert not (terminal.folder / ".longshore" / "bus.sock").exists()
    assert ids[0] != ids[1]


def processor_time(terminal: Terminal, words: tuple[str, ...], enough: float) -> float:
    """Seconds of processor time, the best of some: the machine may be busy with something else."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    taken: list[float] = []
    while len(taken) < 8 and min(taken, default=enough) >= enough:
        before = used()
        assert terminal.run(*words).returncode == 0
        taken.append(used() - before)
    return min(taken)


def bound(terminal: Terminal) -> float:
    """Half a second, on a machine that loads the libraries of a command in a sixth of it; more on one that is slower,
    or whose processors others share just now."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    libraries = "import typer, rich.console, rich.table, pydantic"
    subprocess.run([sys.executable, "-c", libraries], env=os.environ | terminal.environment, check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return max(0.5, 3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Bytecode is written and found again, as when installed, whatever this shell says of it."""
    return {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("compiled")), "PYTHONDONTWRITEBYTECODE": ""}


@pytest.mark.parametrize("words", [("--help",), ("runs", "list", "--help"), ("trigger", "--help"), ("--version",)])
def test_help_answers_at_once(terminal: Terminal, compiled: dict[str, str], words: tuple[str, ...]) -> None:
    terminal.environment.update(compiled)
    processor_time(terminal, words, 99)  # everything is compiled
    assert processor_time(terminal, words, enough := bound(terminal)) < enough


def test_a_list_is_there_at_once(dev: Terminal, compiled: dict[str, str]) -> None:
    terminal = Terminal(dev.folder, compiled)
    assert processor_time(terminal, ("runs", "list"), enough := bound(terminal)) < enough


def test_a_command_loads_no_other(terminal: Terminal) -> None:
    text = (
        "import sys\nfrom longshore.cli.app import run\nrun(['runs', 'list', '--help'])\n"
        "print([name for name in sys.modules if name.startswith('longshore.cli.') and name.count('.') == 2])"
    )
    loaded = terminal.python("-c", text).stdout.splitlines()[-1]
    assert "longshore.cli.runs" in loaded
    assert not {name for name in ("demo", "doctor", "fleet", "serve", "trigger") if f"longshore.cli.{name}" in loaded}


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ((), "see `longshore --help`"),
        (("rnus",), "Did you mean 'runs'?"),
        (("runs", "lst"), "Did you mean 'list'?"),
        (("runs", "show"), "see `longshore runs show --help`"),
        (("trigger",), "see `longshore trigger --help`"),
    ],
)
def test_a_slip_gets_the_nearest_help(terminal: Terminal, words: tuple[str, ...], advice: str) -> None:
    done = terminal.run(*words)
    assert done.returncode == 2
    assert advice in done.stderr


def test_the_help_names_every_command(terminal: Terminal) -> None:
    said = terminal.run("--help").stdout
    assert [name for name in COMMANDS if f" {name} " not in said] == []
