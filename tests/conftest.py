"""Settings of the whole suite."""

from hypothesis import HealthCheck, settings

# A busy machine is no failure: nothing here depends on how long an example takes.
settings.register_profile("lsr", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lsr")
