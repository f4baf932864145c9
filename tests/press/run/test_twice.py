"""Chapters are executed two times, and what differs is named by its cell."""

from notebook_kit import PARAMETERS, put

from press.run import twice


def test_what_gives_something_else_the_second_time_is_named(clone):
    put(
        clone,
        "01_cam",
        "import random\nrandom.seed(0)\nprint(random.random())",
        "print(random.random())",
        begin=False,
        parameters=PARAMETERS,
    )
    put(clone, "02_draws", "import os\nprint(os.urandom(4))", "print(1)", begin=False, parameters=PARAMETERS)
    put(clone, "03_fails", "raise ValueError('no')", begin=False, parameters=PARAMETERS)
    told = []
    draws, fails = twice.differences(clone, tell=told.append)
    assert draws.startswith("02_draws: cell")
    assert "gives something else the second time" in draws
    assert "03_fails" in fails
    assert sum("started" in line for line in told) == 6, "each chapter is executed two times"


def test_a_cell_that_tells_the_time_is_excused(clone):
    put(
        clone,
        "01_cam",
        ("import os\nprint(os.urandom(4))", {"tags": ["nbval-ignore-output"]}),
        begin=False,
        parameters=PARAMETERS,
    )
    assert twice.differences(clone, tell=lambda _: None) == []
