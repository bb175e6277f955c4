"""The command line of the benchmarks: finds the modules beside this one that have a `run`."""

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path

import benchmarks
from benchmarks.measure import Report, machine

EXAMPLES = """examples:
  python -m benchmarks list                     name every benchmark and what it measures
  python -m benchmarks geo --json geo.json      run one, print it, keep the figures
  python -m benchmarks all --small              run all with tiny inputs: do they still work?

Figures are CPU seconds of one thread unless they say otherwise: compare the ratios of one run, not two machines.
"""


def found() -> dict[str, str]:
    """Return every benchmark's name and the first line of its docstring."""
    names = {}
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name.startswith("_"):
            continue
        try:
            loaded = importlib.import_module(f"benchmarks.{module.name}")
        except ImportError as error:
            print(f"{module.name}: left out, it needs {error.name} (install hexhail[bench])", file=sys.stderr)
            continue
        if hasattr(loaded, "run"):
            names[module.name] = (loaded.__doc__ or "").strip().splitlines()[0]
    return names


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
    options = parser.parse_args(arguments)
    names = found()
    if options.name == "list":
        print("\n".join(f"{name:12} {what}" for name, what in names.items()))
        return 0
    if options.name != "all" and options.name not in names:
        parser.error(f"no benchmark {options.name!r}; there are: {', '.join(names)}")
    print("  ".join(f"{name} {value}" for name, value in machine().items()))
    reports = [_run(name, options) for name in (names if options.name == "all" else [options.name])]
    if options.json:
        texts = [report.as_json() for report in reports]
        options.json.write_text(texts[0] if len(texts) == 1 else f"[{','.join(texts)}]\n", encoding="utf-8")
    return 0


def _run(name: str, options: argparse.Namespace) -> Report:
    print(f"\n== {name} ==")
    report = Report(name, options.small)
    module = importlib.import_module(f"benchmarks.{name}")
    module.run(options.small, report, **{own: getattr(options, own) for own in getattr(module, "OPTIONS", ())})
    return report


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
