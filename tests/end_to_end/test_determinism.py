"""Time, chance and patches of workflows that lose their worker, and what a worker says of careless ones."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.end_to_end import determined
from tests.end_to_end.conftest import Build, in_status
from tests.end_to_end.house import House
from tests.support.wait import eventually

BEFORE, AFTER = "tests.end_to_end.determined", "tests.end_to_end.determined_after"


async def there(folder: Path, *names: str) -> None:
    for name in names:
        await eventually((folder / name).exists, within=10, what=name)


async def test_time_and_chance_are_the_same_on_the_next_worker(build: Build, tmp_path: Path) -> None:
    house = build()
    house.decide()
    async with house.client(modules=[BEFORE]) as client:
        crew = house.work(module=BEFORE)
        run = await client.trigger(determined.draws(str(tmp_path)))
        for number in range(2):
            await there(tmp_path, f"step-{number}")
            await in_status(run, "HANGING")
            crew.kill_child()
            (tmp_path / f"step-{number}.go").touch()
        drawn = await run.result(timeout=20)
    written = [
        [ast.literal_eval(line) for line in (tmp_path / f"step-{number}").read_text().splitlines()]
        for number in range(2)
    ]
    assert [set(map(str, lines)) for lines in written] == [{str(given)} for given in drawn]
    assert max(map(len, written)) > 1, "a step was executed again, and given the same"
    assert len({given[1] for given in drawn}) == len({given[2] for given in drawn}) == 2
    assert drawn == sorted(drawn)  # time goes on


async def test_a_run_under_way_keeps_the_old_code_and_a_later_one_takes_the_patch(build: Build, tmp_path: Path) -> None:
    house = build()
    house.decide()
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    crew = house.work(module=BEFORE)
    async with house.client(modules=[BEFORE]) as client:
        first = await client.trigger("changing", args=[str(old)])
        (old / "first.go").touch()
        await there(old, "second")
        crew.terminate()  # the workflow is put away, its child handed back
        (old / "second.go").touch()
        crew.wait(20)
        crew = house.work(module=AFTER)
        second = await client.trigger("changing", args=[str(new)])
        (new / "first.go").touch()
        await there(new, "second")
        await in_status(second, "HANGING")
        crew.kill_child()
        (new / "second.go").touch()
        assert await first.result(timeout=20) == [[], ["old"]]
        assert await second.result(timeout=20) == [[], ["new"], True]


def advice(house: House) -> list[str]:
    return [line for part in house.parts for line in part.words().splitlines() if "reads the clock" in line]


def test_of_several_processes_one_says_which_line_is_careless(build: Build) -> None:
    house = build()
    house.decide()
    house.work(module=BEFORE, processes=2)
    (line,) = advice(house)
    where = f"determined.py:{determined.careless.function.__code__.co_firstlineno + 2}"
    assert f"{where}: workflow careless@1.0.0: time.time() reads the clock" in line
