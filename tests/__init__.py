"""The tests of Phoenix."""

from hypothesis import HealthCheck, settings

# How long one example takes says how busy the machine is; pytest's own timeout ends what hangs.
settings.register_profile(
    "phoenix", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("phoenix")
