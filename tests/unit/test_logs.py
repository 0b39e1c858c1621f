import json
import logging

import pytest
import structlog

from cleanplate.logs import configure_logs


def test_json_lines_carry_time_level_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="info", style="json")

    structlog.get_logger().info("job done", job="abc", seconds=1.5)

    line = json.loads(capsys.readouterr().err)
    assert line["event"] == "job done"
    assert line["level"] == "info"
    assert (line["job"], line["seconds"]) == ("abc", 1.5)
    assert line["timestamp"].endswith("Z")


def test_lines_of_other_libraries_look_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="info", style="json")

    logging.getLogger("somewhere").warning("a %s", "warning")

    assert json.loads(capsys.readouterr().err)["event"] == "a warning"


def test_nothing_below_the_level_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="warning", style="json")

    structlog.get_logger().info("quiet")
    logging.getLogger("somewhere").info("quiet too")

    assert capsys.readouterr().err == ""


def test_request_lines_of_urllib3_stay_out_even_at_debug(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="debug", style="json")

    logging.getLogger("urllib3.connectionpool").debug("GET /?signature=abc")

    assert capsys.readouterr().err == ""


def test_addresses_that_urllib3_tries_again_stay_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="info", style="json")

    logging.getLogger("urllib3.connectionpool").warning("Retrying after connection broken: /data/upload/1/John Doe.png")

    assert capsys.readouterr().err == ""


def test_text_shows_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="info", style="text")

    try:
        json.loads("broken")
    except json.JSONDecodeError:
        structlog.get_logger().exception("job failed")

    written = capsys.readouterr().err
    assert "job failed" in written
    assert "JSONDecodeError" in written


def test_no_traceback_shows_the_values_of_variables(capsys: pytest.CaptureFixture[str]) -> None:
    for style in ("text", "json"):
        configure_logs(level="info", style=style)
        try:
            parsed_with("very-secret"[::-1])
        except json.JSONDecodeError:
            structlog.get_logger().exception("job failed")

    written = capsys.readouterr().err
    assert written.count("JSONDecodeError") >= 2
    assert "terces-yrev" not in written


def parsed_with(token: str) -> object:
    assert token
    return json.loads("broken")
