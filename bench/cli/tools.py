"""The commands for authors, reviewers and reporters: check, claim, regress, speed, submit, env."""

import argparse
from pathlib import Path

from .. import api
from .asked import computed, request_and_machine
from .parser import Commands, add_data, add_machine, add_request, command, few, names
from .printing import print_claims, print_frames, print_json, print_rows, print_wrapped, tell


def add(commands: Commands) -> None:
    """Adds the commands of this module."""
    _add_check(commands)
    _add_claim(commands)
    _add_regress(commands)
    _add_speed(commands)
    _add_submit(commands)
    command(commands, "env", "print what a bug report needs").set_defaults(do=env)


def _add_check(commands: Commands) -> None:
    sub = command(
        commands,
        "check",
        "tell whether a method fits the harness, check by check (a minute; on busy cores several)",
        "a check failed",
    )
    sub.add_argument("method", help="a registered name, a configuration that suites share, FILE.py, or package:Class")
    sub.set_defaults(do=check)


def _add_claim(commands: Commands) -> None:
    sub = command(
        commands,
        "claim",
        "compare claimed numbers with printed and measured ones and flag what is odd",
        "errors are flagged",
    )
    adds = "columns method, set, noise, psnr, ssim; optional: output, network, knowledge, ensemble, images, colour, ..."
    sub.add_argument("file", type=Path, metavar="FILE.csv", help=adds)
    sub.set_defaults(do=claim)


def _add_regress(commands: Commands) -> None:
    sub = command(commands, "regress", "compare small subsets of the suites with committed references", "one is off")
    sub.add_argument("cases", nargs="*", metavar="CASE", help="such as synthetic/b2u/gauss25/losses; default: all")
    add_data(sub)
    sub.add_argument("--update", action="store_true", help="write the references anew, all seeds")
    sub.set_defaults(do=regression)


def _add_speed(commands: Commands) -> None:
    sub = command(
        commands, "speed", "measure training steps against plain ones, scoring against the official loop, several jobs"
    )
    sub.add_argument("--methods", type=names, default=(), metavar="A,B")
    sub.add_argument("--rounds", type=few, default=5, metavar="N", help="interleaved repetitions (default 5)")
    sub.add_argument("--jobs", type=few, default=1, metavar="N", help="measure runs with 1 and N jobs instead")
    sub.add_argument(
        "--test-sets", type=names, default=(), metavar="A,B", help="measure scoring alone, on three images of each"
    )
    sub.add_argument("--noise", default="", metavar="NAME", help="of the training; default: the first of Table 1")
    add_data(sub)
    add_machine(sub)
    sub.set_defaults(do=speed)


def _add_submit(commands: Commands) -> None:
    sub = command(commands, "submit", "write what the SIDD or the DND benchmark scores")
    sub.add_argument(
        "--methods", type=names, required=True, metavar="A", help="one trained method of suite raw or srgb"
    )
    sub.add_argument("--output", default="weighted", metavar="NAME", help="default: weighted, as in the paper")
    sub.add_argument(
        "--blocks",
        type=Path,
        required=True,
        metavar="DIR",
        help="where BenchmarkNoisyBlocksRaw.mat is (or ...Srgb.mat, or info.mat of DND)",
    )
    sub.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: SubmitRaw.csv or SubmitSrgb.csv, of DND the new folder SubmitDND; in .mat: the older format",
    )
    sub.add_argument("--authors", default="", metavar="TEXT", help="as the server shows it; also --title, --venue")
    sub.add_argument("--title", default="", metavar="TEXT")
    sub.add_argument("--venue", default="", metavar="TEXT")
    add_request(sub, "raw", "reduced")
    add_machine(sub)
    sub.set_defaults(do=submission)


def check(options: argparse.Namespace) -> int:
    """Tells whether a method fits the harness."""
    rows = []
    for name, finding in api.check(options.method):
        rows.append({"method": name, "check": finding.check, "result": finding.state, "what": finding.text})
        if options.format == "terminal":
            print_wrapped(": ".join(filter(None, (name, finding.check, finding.state, finding.text))))
        else:
            tell([f"{name}: {finding.check}: {finding.state}"])
    if options.format != "terminal":
        print_rows(rows, options)
    return 1 if any(row["result"] == "failed" for row in rows) else 0


def claim(options: argparse.Namespace) -> int:
    """Flags what is odd about claimed numbers."""
    report = api.claim(options.file)
    print_claims(report, options)
    return 1 if report.failed else 0


def regression(options: argparse.Namespace) -> int:
    """Compares with the committed references, or writes them anew."""

    def progress(case: str) -> None:
        tell([case])

    if options.update:
        for skipped in api.update_references(options.cases, data=options.data, progress=progress):
            print(skipped)
        return 0
    found = api.regress(options.cases, data=options.data, progress=progress)
    columns = ("case", "expected", "found", "verdict")
    print_rows([dict(zip(columns, finding.words, strict=True)) for finding in found], options)
    red = [finding.case for finding in found if finding.state == "failed"]
    tell([f"{len(red)} of {len(found)} failed", *(f"  {case}" for case in red)])
    return 1 if red else 0


def speed(options: argparse.Namespace) -> int:
    """Prints times of steps and scoring, those of each training as soon as they are known."""

    def progress(row: dict[str, str]) -> None:
        tell([", ".join(f"{name} {value}" for name, value in row.items() if value)])

    asked = (options.methods, options.rounds, options.jobs, options.test_sets, options.noise)
    print_frames(api.speed(*asked, progress=progress, **computed(options)), options)
    return 0


def submission(options: argparse.Namespace) -> int:
    """Writes a submission to the server of SIDD or DND."""
    what = (",".join(options.methods), options.blocks, options.out, options.output)
    about = {name: getattr(options, name) for name in ("authors", "title", "venue")}
    known = about | request_and_machine(options)
    print(api.submit(*what, options.suite or "raw", options.preset or "reduced", **known))
    return 0


def env(options: argparse.Namespace) -> int:
    """Prints what a bug report needs."""
    facts = api.environment()
    if options.format == "json":
        print_json(facts)
        return 0
    flat = {**{key: value for key, value in facts.items() if key != "versions"}, **facts["versions"]}
    print_rows([{"what": key, "value": str(value)} for key, value in flat.items()], options)
    return 0
