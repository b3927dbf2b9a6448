"""What holds for every test.

Property tests say what holds, not how long it takes: on a busy machine a time limit would be their only failure.
One thread a process: tests run beside each other, and threads that wait for a core of another test only spin.
"""

import os

from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
