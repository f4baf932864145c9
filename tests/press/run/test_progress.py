import io
import time

from press.run import progress
from press.run.progress import Progress, clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_clock():
    assert [clock(s) for s in (0.4, 63.2, 600)] == ["0:00", "1:03", "10:00"]


def test_a_terminal_sees_one_line_rewritten_with_every_chapter():
    screen, told = Terminal(), []
    with Progress(told.append, screen) as shown:
        shown.start("01_cam")
        shown.start("02_eigen_cam")
        shown.at("01_cam", 3, 20)
        assert shown.line() == "01_cam cell 3/20 0:00   02_eigen_cam kernel 0:00"
        time.sleep(0.7)
        shown.end("01_cam", "01_cam: done in 0:01")
        assert "01_cam" not in shown.line()
    assert "\r\x1b[K01_cam cell 3/20" in screen.getvalue()
    assert screen.getvalue().endswith("\r\x1b[K"), "nothing is left standing"
    assert told == ["01_cam: done in 0:01"]


def test_a_log_sees_plain_lines_now_and_then(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.05)
    file, told = io.StringIO(), []
    with Progress(told.append, file) as shown:
        shown.start("01_cam")
        shown.at("01_cam", 1, 2)
        time.sleep(0.3)
        shown.end("01_cam", "done")
    assert file.getvalue() == ""
    assert told[0] == "01_cam: started"
    assert "01_cam cell 1/2 0:00" in told
    assert told[-1] == "done"
