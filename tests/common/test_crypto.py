import pytest
from cryptography.fernet import Fernet
from pytest_django.fixtures import Settings

from phoenix_site.common.crypto import decrypt_text, encrypt_text, reencrypt_text
from phoenix_site.common.exceptions import UnavailableError


def test_an_old_key_still_reads_and_the_first_writes(settings: Settings) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.PHOENIX_SECRET_KEYS = [old]
    stored = encrypt_text("Zoë's secret")

    settings.PHOENIX_SECRET_KEYS = [new, old]
    renewed = reencrypt_text(stored)
    assert decrypt_text(stored) == "Zoë's secret"

    settings.PHOENIX_SECRET_KEYS = [new]
    assert decrypt_text(renewed) == "Zoë's secret"
    with pytest.raises(UnavailableError):
        decrypt_text(stored)
