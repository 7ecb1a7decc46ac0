"""Flags from claims beside each other: equal digits, rows above the supervised one, differences within the noise."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from ...protocol.plan import BASELINES
from .claim import Claim, by_method, noise_of
from .flag import Flag, flag, run
from .known import SUPERVISED, of_difference, supervised

IMPLAUSIBLE = 1.0  # dB above a supervised row that no printed row of another network reaches


def one_cell_twice(claims: Sequence[Claim]) -> Iterator[Flag]:
    """Two different numbers for one method, noise and set."""
    cells: dict[tuple[str, ...], list[Claim]] = defaultdict(list)
    for claim in claims:
        cells[*claim.row, *claim.group, claim.network].append(claim)
    for same in cells.values():
        if len({(claim.psnr, claim.ssim) for claim in same}) > 1:
            reason = "one method has two numbers for the same noise and set, so that one of them is wrong"
            yield flag("error", "two numbers", same, reason, run(same[0]))


def equal_digits(claims: Sequence[Claim]) -> Iterator[Flag]:
    """Digits that stand in two rows: of another noise level, of another set, or of another method."""
    precise = [claim for claim in claims if claim.decimals >= 2]
    yield from _of_other_levels(precise)
    yield from _of_other_sets(precise)
    yield from _of_other_methods(precise)


def _of_other_levels(claims: Sequence[Claim]) -> Iterator[Flag]:
    """The same method and set at two noises: several dB should lie between the levels."""
    copies: dict[tuple[str, str, str], list[Claim]] = defaultdict(list)
    for one, other in combinations(claims, 2):
        if (one.row, one.set) == (other.row, other.set) and one.noise != other.noise and _equal(one, other):
            copies[one.noise, other.noise, one.set] += [one, other]
    for (noise, other_noise, test), same in copies.items():
        methods = list(dict.fromkeys(claim.label for claim in same))
        reason = (
            f"on {test} the digits of {noise} stand at {other_noise} again for {', '.join(methods)}. Other noise gives "
            f"another PSNR, so that a row was copied"
        )
        yield flag("error", "equal digits", same, reason, run(same[1]))


def _of_other_sets(claims: Sequence[Claim]) -> Iterator[Flag]:
    """The same method and noise on two sets, PSNR and SSIM equal."""
    for one, other in combinations(claims, 2):
        same_row = (one.row, one.noise) == (other.row, other.noise)
        if same_row and one.set != other.set and one.ssim is not None and _equal(one, other):
            reason = f"{one.set} and {other.set} have the same PSNR and SSIM to the last digit; other images do not"
            yield flag("error", "equal digits", [one, other], reason, run(other))


def _of_other_methods(claims: Sequence[Claim]) -> Iterator[Flag]:
    """Two methods that are equal on every set that both have, or in one cell with its SSIM."""
    rows: dict[tuple[str, str, str], dict[str, Claim]] = defaultdict(dict)
    for claim in claims:
        rows[claim.noise, *claim.row][claim.set] = claim
    for (one_key, one), (other_key, other) in combinations(rows.items(), 2):
        shared = [name for name in one if name in other]
        same = [name for name in shared if _equal(one[name], other[name])]
        if one_key[0] != other_key[0] or one_key[1] == other_key[1] or not same:
            continue
        both = [claims[name] for name in same for claims in (one, other)]
        if len(shared) > 1 and same == shared:
            reason = f"two methods have the same digits on all {len(shared)} sets; was one row copied to the other?"
            yield flag("error", "equal digits", both, reason, run(both[1]))
        elif both[0].ssim is not None:
            reason = "two methods have the same digits in one cell; between rows that are close everywhere it is chance"
            yield flag("note", "equal digits", both, reason, run(both[1]))


def _equal(one: Claim, other: Claim) -> bool:
    return (one.psnr, one.ssim) == (other.psnr, other.ssim)


def above_supervised(claims: Sequence[Claim]) -> Iterator[Flag]:
    """Values above those of a network that was trained with clean targets."""
    own = {claim.group: claim for claim in claims if claim.method == SUPERVISED}
    for rows in by_method([claim for claim in claims if claim.method != SUPERVISED]):
        allowed: dict[Claim, str] = {}
        for claim in rows:
            top = _supervised_psnr(claim, own)
            if wrong := _why_wrong(claim, own.get(claim.group), claim.psnr - top):
                reason = f"{claim.psnr - top:.2f} dB above N2C ({top:.2f}){wrong}"
                yield flag("error", "above supervised", [claim], reason, run(claim, beside=SUPERVISED))
            elif claim.psnr > top:
                allowed[claim] = _why_allowed(claim, own.get(claim.group), claim.psnr - top)
        if allowed:
            most = max(claim.psnr - _supervised_psnr(claim, own) for claim in allowed)
            reason = f"above N2C in {len(allowed)} of {len(rows)} cells, by up to {most:.2f} dB: "
            reason += "; ".join(dict.fromkeys(allowed.values()))
            yield flag("note", "above supervised", [*allowed], reason, run(next(iter(allowed)), beside=SUPERVISED))


def _supervised_psnr(claim: Claim, own: Mapping[tuple[str, str], Claim]) -> float:
    """The PSNR of N2C in the same cell: claimed, else printed; the claim's where neither is known."""
    known = own.get(claim.group) or supervised(*claim.group) or claim
    return known.psnr


def _why_wrong(claim: Claim, theirs: Claim | None, over: float) -> str:
    """Why a row cannot be so far above the supervised one; empty if it can."""
    if over > IMPLAUSIBLE:
        return ", more than any printed row: data, scoring or a misprint"
    same = theirs is not None and theirs.network and claim.network.lower() == theirs.network.lower()
    return (
        " with the same network, which learned from clean targets" if same and over > of_difference(claim).width else ""
    )


def _why_allowed(claim: Claim, theirs: Claim | None, over: float) -> str:
    """Why a row above the supervised one is no error."""
    width = of_difference(claim).width
    if over <= width:
        return f"on {claim.set} {width:.2f} dB are within the noise"
    if theirs is None:
        return "that row is printed elsewhere, with a network and training of its own"
    if claim.network and theirs.network:
        return f"the networks differ ({claim.network} and {theirs.network}), so that losses are not compared"
    return "whether the networks are equal is not said (column network)"


def within_the_noise(claims: Sequence[Claim]) -> Iterator[Flag]:
    """The best of each noise and set, where it is not told from others by seeds and images."""
    groups: dict[tuple[str, str], list[Claim]] = defaultdict(list)
    for claim in claims:
        if claim.method not in (SUPERVISED, "n2n", *BASELINES):
            groups[claim.group].append(claim)
    for rows in groups.values():
        best, *others = sorted(rows, key=lambda claim: -claim.psnr)
        band = of_difference(best)
        near = [claim for claim in others if claim.row != best.row and best.psnr - claim.psnr <= band.width]
        if near and noise_of(best).family.simulated:
            names = ", ".join(f"{claim.label} {claim.psnr:.2f}" for claim in near)
            reason = f"the best, {best.label} {best.psnr:.2f}, is not told from {names}: "
            reason += f"the band is {band.width:.2f} dB ({band.how})"
            settle = run(best, " --seeds 0,1,2", beside=near[0].method)
            yield flag("note", "within the noise", [best, *near], reason, settle)
