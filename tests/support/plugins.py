"""Plug-ins as a user would write them: methods that are slow, broken, keep their images, or train on each."""

from pathlib import Path

from support.cli import photos

SLOW = """
import os, time
from torch import nn
from torch.nn.functional import mse_loss
from bench import Method, register

class Slow(Method, frozen=True):
    supervision = "clean"

    def build(self, channels):
        return nn.Conv2d(channels, channels, 3, padding=1)

    def losses(self, net, batch, ctx):
        time.sleep(0.02)
        yield mse_loss(net(batch.noisy), batch.target) + 0.1 * ctx.rng.normal("own", 1).mean()

@register("slow")
class One(Slow, frozen=True):
    pass

@register("slower")
class Two(Slow, frozen=True):
    pass

@register("killer")
class Killer(Slow, frozen=True):
    def losses(self, net, batch, ctx):
        if "FINE" not in os.environ:
            os.kill(os.getpid(), 9)
        yield from super().losses(net, batch, ctx)

@register("wrong")
class Wrong(Slow, frozen=True):
    def losses(self, net, batch, ctx):
        if "FINE" not in os.environ:
            raise ValueError("no loss today")
        yield from super().losses(net, batch, ctx)
"""

KEEPER = """
from torch.nn.functional import avg_pool2d
from bench import Method, register

@register("keeper")
class Keeper(Method, frozen=True):
    supervision = "none"
    trains_on = "nothing"
    keeps_images = True

    def build(self, channels):
        return None

    def denoise(self, net, noisy, ctx):
        return {"denoised": avg_pool2d(noisy, 3, 1, 1)}
"""

FORGETFUL = """
from torch import nn
from torch.nn.functional import mse_loss
from bench import Method, register

@register("forgetful")
class Forgetful(Method, frozen=True):
    trains_on = "image"

    def build(self, channels):
        return nn.Conv2d(channels, channels, 3, padding=1)

    def losses(self, net, batch, ctx):
        yield mse_loss(net(batch.noisy), batch.noisy)
"""


def command(folder: Path, text: str, methods: str, steps: int) -> list[str]:
    """A run of the methods of a plug-in on small photographs."""
    plugin = folder / "mine.py"
    plugin.write_text(text, encoding="utf-8")
    train = photos(folder / "train", "astronaut", "coffee", height=96, width=96)
    tests = photos(folder / "tests", "chelsea", "coffee")
    sets = ["--train", f"folder:{train}", "--test-sets", f"folder:{tests}"]
    how = f"--noise gauss25 --steps {steps} --threads 1 --precision float32".split()
    return ["run", "--plugin", str(plugin), "--methods", methods, *sets, *how]
