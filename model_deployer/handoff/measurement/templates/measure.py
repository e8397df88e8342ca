"""Measure the service again, on this machine, in the same way as the figures of this package were measured.

    .venv/bin/python benchmarks/measure.py

It starts the server of this package on a free port and takes about a minute, on a busy machine up to two. It prints
every figure next to that of benchmarks/measurements.json, and the sizing for this machine. Nothing else should run on
the machine; if other processes use it, the program says so and withholds the sizing. It changes no file of the package.
"""

import argparse
import signal
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]

sys.dont_write_bytecode = True


def main() -> None:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # stops the server, too
    sys.path.insert(0, str(PACKAGE / "bento" / "src"))
    import model_deployer  # noqa: PLC0415 (the path has to be set first)

    model_deployer.__path__.append(str(PACKAGE / "benchmarks" / "src"))
    from model_deployer.contract.errors import DeployerError  # noqa: PLC0415
    from model_deployer.handoff.measurement.remeasurement import (  # noqa: PLC0415
        remeasure,
        remeasure_relative,
        report,
    )

    try:
        if arguments.relative:
            relative = remeasure_relative(PACKAGE, arguments.url, arguments.pid)
            arguments.output.write_text(relative.model_dump_json(indent=2) + "\n", encoding="utf-8")
            return
        measured = remeasure(PACKAGE, arguments.url, arguments.pid, arguments.cold_start, arguments.seconds)
        if arguments.output:
            arguments.output.write_text(measured.model_dump_json(indent=2) + "\n", encoding="utf-8")
        else:
            print(report(PACKAGE, measured))
    except DeployerError as error:
        sys.exit(f"error: {error}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="write the figures to this file, as JSON, and print no comparison")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each load is measured; default: 3")
    running = parser.add_argument_group("measure a server on this machine that runs already")
    running.add_argument("--url", help="its URL, as http://127.0.0.1:3000; it must not require an API key")
    running.add_argument("--pid", type=int, help="the id of its first process")
    running.add_argument("--cold-start", type=float, default=0.0, help="how many seconds it took to become ready")
    running.add_argument(
        "--relative",
        action="store_true",
        help="measure only the latencies next to a reference server, for verify.py; needs --url, --pid and --output",
    )
    arguments = parser.parse_args()
    if (arguments.url is None) != (arguments.pid is None):
        parser.error("--url and --pid belong together")
    if arguments.relative and not (arguments.url and arguments.output):
        parser.error("--relative needs --url, --pid and --output")
    return arguments


if __name__ == "__main__":
    main()
