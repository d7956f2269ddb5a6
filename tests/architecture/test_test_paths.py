"""Tables that name modules and test files name existing ones, so that a rename cannot empty them unnoticed."""

from tests.mutation.targets import TARGETS
from tests.support.project_files import ROOT
from tests.support.slow_files_first import SECONDS


def test_every_listed_slow_file_exists() -> None:
    folders = (ROOT / "tests", ROOT)  # a client package has its own tests
    assert [path for path in SECONDS if not any((folder / path).exists() for folder in folders)] == []


def test_every_mutation_target_names_existing_files() -> None:
    for target in TARGETS.values():
        folder = ROOT / target.folder
        assert list(folder.glob(f"*{target.ending}")), folder
        assert [name for name in target.skipped if not (folder / name).is_file()] == []
        assert [path for path in target.tests if not (ROOT / path).is_file()] == []
