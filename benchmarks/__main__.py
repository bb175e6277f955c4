"""The command line of the benchmarks: finds the modules in the folders beside this file that have a `run`."""

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

import benchmarks
from benchmarks.common.measure import Report, machine

EXAMPLES = """examples:
  python -m benchmarks list                     name every benchmark and what it measures
  python -m benchmarks geo --json geo.json      run one, print it, keep the figures
  python -m benchmarks all --small              run all with tiny inputs: do they still work?

Figures are CPU seconds of one thread unless they say otherwise: compare the ratios of one run, not two machines.
"""


def found() -> dict[str, ModuleType]:
    """Return every benchmark by its name."""
    modules = {}
    for info in pkgutil.walk_packages(benchmarks.__path__, "benchmarks."):
        if info.ispkg or info.name.count(".") != 2:
            continue
        try:
            module = importlib.import_module(info.name)
        except ImportError as error:
            print(f"{info.name}: left out, it needs {error.name} (install hexhail[bench])", file=sys.stderr)
            continue
        if hasattr(module, "run"):
            modules[info.name.rpartition(".")[2]] = module
    return modules


def main(arguments: list[str]) -> int:
    """Run what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time the parts of hexhail, beside what others offer, and check that they still answer the same.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", help="a benchmark, `list` or `all`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures, machine and checksums to FILE")
    parser.add_argument(
        "--small", action="store_true", help="tiny inputs, seconds instead of minutes; figures mean nothing"
    )
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="quality alone: runs of each policy")
    parser.add_argument("--drivers", type=int, metavar="N", help="load alone: drivers who are connected")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="load alone: processes of people")
    options = parser.parse_args(arguments)
    modules = found()
    if options.name == "list":
        print("\n".join(f"{name:13} {_what(module)}" for name, module in sorted(modules.items())))
        return 0
    if options.name != "all" and options.name not in modules:
        parser.error(f"no benchmark {options.name!r}; there are: {', '.join(sorted(modules))}")
    print("  ".join(f"{name} {value}" for name, value in machine().items()))
    names = sorted(modules) if options.name == "all" else [options.name]
    reports = [_run(name, modules[name], options) for name in names]
    if options.json:
        texts = [report.as_json() for report in reports]
        options.json.write_text(texts[0] if len(texts) == 1 else f"[{','.join(texts)}]\n", encoding="utf-8")
    return 0


def _what(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().splitlines()[0]


def _run(name: str, module: ModuleType, options: argparse.Namespace) -> Report:
    print(f"\n== {name} ==")
    report = Report(name, options.small)
    module.run(options.small, report, **{own: getattr(options, own) for own in getattr(module, "OPTIONS", ())})
    return report


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
