"""Static files under hashed names, collected once per set of files (spec 07 OPS-41)."""

import hashlib
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

# What no page of ours asks for; most of the time of collecting would go there.
LEFT_OUT = ("rest_framework", "redoc", "swagger-ui-es-bundle*")


def collect_when_changed() -> bool:
    """Collect the static files if they changed since the last time; return whether they did."""
    if not settings.PHOENIX_STATIC_ROOT:
        return False
    stamp = Path(settings.STATIC_ROOT) / "collected"
    state = _state_of_files()
    if stamp.exists() and stamp.read_text() == state:
        return False
    call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=list(LEFT_OUT))
    stamp.write_text(state)
    return True


def _state_of_files() -> str:
    """Return a text that changes with our own files and with the versions of the libraries."""
    digest = hashlib.sha256((settings.BASE_DIR / "requirements.txt").read_bytes())
    for folder in settings.STATICFILES_DIRS:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                digest.update(f"{path.relative_to(folder)}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()
