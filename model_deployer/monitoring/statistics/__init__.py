"""The mathematics of monitoring: functions of arrays, without input, output or state.

Every test returns an :class:`~model_deployer.monitoring.statistics.evidence.Evidence`: an e-process, which may be read
after every period, and which alarms when it reaches 1 / alpha. Periods are hours or days, in order of time, complete.
"""
