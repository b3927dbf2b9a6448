"""Property tests say what holds, not how long it takes: on a busy machine a time limit would be their only failure."""

from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
