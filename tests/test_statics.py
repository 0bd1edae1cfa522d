import re
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from phoenix_site.statics import collect_when_changed


@pytest.fixture
def files(tmp_path: Path, settings: Settings) -> Path:
    """Two files of our own, and no library's."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "page.css").write_text('@import "colors.css";')
    (source / "colors.css").write_text("a { color: red }")
    settings.STATICFILES_DIRS = [source]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.PHOENIX_STATIC_ROOT = str(tmp_path / "collected")
    settings.STATIC_ROOT = tmp_path / "collected"
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
    return source


def test_files_are_collected_under_hashed_names(files: Path, settings: Settings) -> None:
    assert collect_when_changed() is True

    names = {path.name for path in Path(settings.STATIC_ROOT).iterdir()}
    assert any(re.fullmatch(r"page\.[0-9a-f]{12}\.css", name) for name in names)


def test_files_are_collected_again_only_after_a_change(files: Path) -> None:
    collect_when_changed()

    assert collect_when_changed() is False
    (files / "colors.css").write_text("a { color: blue }")
    assert collect_when_changed() is True


def test_without_a_place_nothing_is_collected(files: Path, settings: Settings) -> None:
    settings.PHOENIX_STATIC_ROOT = ""

    assert collect_when_changed() is False
