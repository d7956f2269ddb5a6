"""Every line that `dashboard up` shows carries a level, also lines that bypass the log."""

from app.cli.supervisor.console import LevelPrefixer


def levels_of(*lines: str) -> list[str]:
    levels = LevelPrefixer()
    return [levels.add_level(line).partition(" ")[0] for line in lines]


def test_a_line_that_a_library_prints_is_information() -> None:
    assert (
        LevelPrefixer().add_level("worker: Warm shutdown (MainProcess)") == "INFO worker: Warm shutdown (MainProcess)"
    )
    assert levels_of("WARNING a b", "worker: Hitting Ctrl+C again") == ["WARNING", "INFO"]


def test_lines_with_a_level_and_json_lines_are_not_changed() -> None:
    assert LevelPrefixer().add_level("WARNING event.dropped seq=1") == "WARNING event.dropped seq=1"
    assert LevelPrefixer().add_level('{"levelname": "INFO"}') == '{"levelname": "INFO"}'


def test_indented_lines_have_the_level_of_their_message() -> None:
    assert levels_of("ERROR job.failed", "    Traceback (most recent call last):", "      File") == ["ERROR"] * 3
    assert levels_of("WARNING x", "    y", "INFO z", "  w") == ["WARNING", "WARNING", "INFO", "INFO"]


def test_a_crash_is_an_error_from_its_first_line_to_its_last() -> None:
    crash = ["Traceback (most recent call last):", '  File "x", line 1, in y', "    raise z", "ValueError: z"]
    assert levels_of(*crash, "goodbye") == ["ERROR"] * 4 + ["INFO"]
    assert levels_of(*crash, "During handling of the above exception, another", *crash) == ["ERROR"] * 9
    assert levels_of("Error: the database does not do it") == ["ERROR"]
    assert levels_of("x.py:1: DeprecationWarning: old", "  old()") == ["WARNING"] * 2
