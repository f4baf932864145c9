import time

from press.run import progress
from press.run.progress import Progress, clock


def test_clock():
    assert [clock(s) for s in (0.4, 63.2, 600)] == ["0:00", "1:03", "10:00"]


def test_chapters_are_told_of_when_they_start_and_end_and_now_and_then(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.05)
    told = []
    with Progress(told.append) as shown:
        shown.start("01_cam")
        shown.start("02_eigen_cam")
        shown.at("01_cam", 1, 2)
        time.sleep(0.3)
        shown.end("01_cam", "done")
        time.sleep(0.2)
    assert told[:2] == ["01_cam: started", "02_eigen_cam: started"]
    assert "01_cam cell 1/2 0:00   02_eigen_cam cell 0/0 0:00" in told[: told.index("done")]
    assert told[-1] == "02_eigen_cam cell 0/0 0:00"
