from press.run import progress
from press.run.progress import Progress, clock


def test_clock():
    assert [clock(s) for s in (0.4, 63.2, 600)] == ["0:00", "1:03", "10:00"]


def test_chapters_are_told_of_when_they_start_and_end_and_now_and_then(monkeypatch):
    told = []
    shown = Progress(told.append)
    shown.start("01_cam")
    shown.start("02_eigen_cam")
    shown.at("01_cam", {"cell": 1, "of": 2})
    assert told == ["01_cam: started", "02_eigen_cam: started"], "not a line a cell"
    monkeypatch.setattr(progress, "EVERY", 0)
    shown.at("02_eigen_cam", {"cell": 3, "of": 4})
    shown.at("02_eigen_cam", {"ok": True})
    assert told[2:] == ["01_cam cell 1/2   02_eigen_cam cell 3/4"] * 2
    shown.end("01_cam", "done")
    shown.at("02_eigen_cam", {"cell": 4, "of": 4})
    assert told[4:] == ["done", "02_eigen_cam cell 4/4"]
