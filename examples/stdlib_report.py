"""The demo's module on a fleet: a report on the source of Python's standard library.

On RabbitMQ, each line in a terminal of its own (LONGSHORE_BROKER_URL says where the broker is):

    longshore coordinator
    longshore worker examples.stdlib_report            # and once more in another terminal
    longshore trigger stdlib.report --wait

`longshore demo` runs the same routines without any service. Their source: longshore/demo.py.
"""

from longshore import SyncClient
from longshore.demo import find_packages, join_packages, parse_package, report

__all__ = ["find_packages", "join_packages", "parse_package", "report"]


def main() -> None:
    """The same as the last command, from Python."""
    with SyncClient() as client:
        result = client.run(report(top=3))
    print("{packages} packages, {files} files, {lines} lines, {functions} functions".format(**result["totals"]))
    for function in result["longest_functions"]:
        print("{lines:5} lines: {package} {file}:{line} {name}".format(**function))


if __name__ == "__main__":
    main()
