import os
import time

import psutil

from model_deployer.handoff.measurement.conditions import UsageMeter
from model_deployer.handoff.measurement.processes import Processes
from tests.handoff.measurement.test_server_measurement import busy_cores


def test_time_of_the_clients_is_not_that_of_others() -> None:
    """What the measured processes use themselves does not make a machine busy."""
    own = Processes(os.getpid(), has_children=False)
    idle = Processes(psutil.Process().ppid(), has_children=False)
    meter, start = UsageMeter(idle, own), time.process_time()
    while time.process_time() - start < 0.5:
        pass
    usage = meter.stop()
    assert 0 < usage.conditions.client_cores <= 1.1
    assert usage.server_cores < 0.5
    assert 0 <= usage.conditions.others_share <= 1.1
    assert usage.conditions.load_average is not None


def test_processes_that_do_not_belong_to_a_measurement_are_others() -> None:
    own = Processes(os.getpid(), has_children=False)
    with busy_cores():
        meter = UsageMeter(own, own)
        time.sleep(0.5)
        usage = meter.stop()
    assert usage.conditions.is_busy
    assert usage.conditions.others_share > 0.5
