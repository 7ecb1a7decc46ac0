"""Cholesky's factor and solve of small matrices by single products: ONNX has no operator for them."""

import torch
from torch import Tensor


def factor(a: Tensor, upper: bool = False, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    """L of a = L L^T [..., n, n], as torch.linalg.cholesky_ex, and zeros for what it says of errors."""
    n = a.shape[-1]
    lower = dict[tuple[int, int], Tensor]()
    for j in range(n):
        lower[j, j] = (a[..., j, j] - sum(lower[j, k].square() for k in range(j))).sqrt()
        for i in range(j + 1, n):
            lower[i, j] = (a[..., i, j] - sum(lower[i, k] * lower[j, k] for k in range(j))) / lower[j, j]
    zero = torch.zeros_like(lower[0, 0])
    rows = [torch.stack([lower.get((i, j), zero) for j in range(n)], -1) for i in range(n)]
    return torch.stack(rows, -2), zero.to(torch.int32)


def solve(b: Tensor, factor: Tensor, upper: bool = False) -> Tensor:
    """x of L L^T x = b [..., n, m], as torch.cholesky_solve."""
    n = b.shape[-2]
    entries = [[factor[..., i, j, None] for j in range(n)] for i in range(n)]
    y, x = list[Tensor](), dict[int, Tensor]()
    for i in range(n):
        y.append((b[..., i, :] - sum(entries[i][k] * y[k] for k in range(i))) / entries[i][i])
    for i in reversed(range(n)):
        x[i] = (y[i] - sum(entries[k][i] * x[k] for k in range(i + 1, n))) / entries[i][i]
    return torch.stack([x[i] for i in range(n)], -2)


OPERATORS = {
    torch.ops.aten.linalg_cholesky_ex.default: factor,
    torch.ops.aten.cholesky_solve.default: solve,
}
