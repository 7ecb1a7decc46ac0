"""Files made by hand to do damage: bombs, sizes out of reach, other types, depth, code that raises."""

import io
import json
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
from scipy.io import savemat

LEVELS = (65, 900, 10**5)  # of nesting
PLUGIN = "from bench import Method, register\n@register('mine')\nclass Mine(Method, frozen=True):\n    card = None\n"
MUTE = "class Mute(Exception):\n    def __str__(self): return 1 / 0\nraise Mute"


def png(width: int, height: int, bits: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """A PNG file that announces these sides."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    body = (struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def bomb(width: int, height: int) -> bytes:
    """A whole PNG file of one-bit zeros, a thousandth of its pixels in bytes."""
    return png(width, height, 1, 0, zlib.compress(bytes((1 + (width + 7) // 8) * height)))


def postscript() -> bytes:
    """A program, which Pillow would hand to Ghostscript."""
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(a) show\n%%EOF\n"


def no_images(whole: bytes) -> list[bytes]:
    """Bombs, sides out of reach or of nothing, 16 bits of gray and of colour, other kinds of files."""
    sides = [png(*pair) for pair in ((2**31 - 1, 2**31 - 1), (0, 9), (2**31 - 1, 1), (1, 2**31 - 1), (50_000, 50_000))]
    deep = [png(4, 4, 16, colour, zlib.compress(bytes((1 + 8 * 4) * 4))) for colour in (0, 2, 6)]
    return [*sides, *deep, bomb(10_000, 10_000), bomb(14_000, 14_000), postscript(), b"P6 99999 99999 255\n", b"GIF89a"]


def arrays(whole: bytes) -> list[bytes]:
    """Shapes out of reach or of nothing, other types, pickled objects."""
    shapes = ["(99999999, 99999999)", "(-1, 16)", "(0, 16)", "(12, 10**9)", "()", "(192,)", "(12, 16.0)", "((12, 16),)"]
    headers = [whole.replace(b"(12, 16)", shape.encode()) for shape in shapes]
    kinds = [b"'|O'", b"'<c8'", b"'<U1'", b"'<M8[s]'", b"[('a', '<u2')]", b"'<u9'", b"'|b1'"]
    return headers + [whole.replace(b"'<u2'", kind) for kind in kinds] + [b"\x93NUMPY\x01\x00\xff\xff{"]


def zips(whole: bytes) -> list[bytes]:
    """Names that no disk holds, that lead elsewhere or nowhere."""
    names = ("x" * 300 + ".png", "", "../a.png", "/a.png", "C:/a.png", "a/../../a.png", "a.png/b.png", "\n\x1b[2J.png")
    return [_zip(name) for name in names]


def _zip(name: str) -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as packed:
        packed.writestr("a.png", b"pixels")
        packed.writestr(zipfile.ZipInfo(name), b"pixels")
    return file.getvalue()


def crasher(variable: str = "x", *shape: int) -> bytes:
    """A v5 file of doubles whose type of numbers nobody knows, on which scipy 1.17 crashes."""
    savemat(file := io.BytesIO(), {variable: np.zeros(shape or (6, 8))})
    content, tag = file.getvalue(), struct.pack("<I", 9)
    at = content.rindex(tag)
    return content[:at] + struct.pack("<I", 200) + content[at + 4 :]


def recompressed(whole: bytes) -> list[bytes]:
    """Damage below the compression, its checksum right: each word of the matrix replaced by a large one."""
    size = struct.unpack_from("<I", whole, 132)[0]
    first, inner = 136 + size, whole[: 136 + size]
    matrix = zlib.decompress(whole[first + 8 :])
    bad = [zlib.compress(matrix[:at] + b"\xfe\xff\xff\x7f" + matrix[at + 4 :]) for at in range(0, 64, 4)]
    bad += [zlib.compress(bytes(2**26)), zlib.compress(matrix[:60])]
    return [inner + struct.pack("<II", 15, len(packed)) + packed for packed in bad]


def nested(whole: bytes) -> list[bytes]:
    """Deep lists and objects: on their own, in place of a value that may be anything, and in a key nobody knows."""
    objects = [b"[" * n + b"]" * n for n in LEVELS] + [b'{"a":' * n + b"1" + b"}" * n for n in LEVELS] + [b"[" * 10**6]
    inside = [whole.replace(b"{", b'{"zz": ' + deep + b",", 1) for deep in objects]
    return objects + inside + [b"9" * 5000, b'"\\ud800"', b"\xef\xbb\xbf{}", b"null", b"[]", b"{}"]


def nested_toml(whole: bytes) -> list[bytes]:
    """As `nested`; also dotted keys, and numbers that Python refuses to parse."""
    values = [b"[" * n + b"]" * n for n in LEVELS] + [b"{a=" * n + b"1" + b"}" * n for n in LEVELS]
    values += [b"9" * 5000, b"0x" + b"f" * 9999, b"1e9999", b"nan", b"2020-99-99", b"2020-01-01", b'"\\ud800"']
    keys = [b".".join([b"a"] * n) + b" = 1\n" for n in (65, 3000)] + [
        b'"a\\nb\\u001b[2J" = 1\n',
        b'"' + b"k" * 10**6 + b'" = 1\n',
    ]
    return [b"name = " + value for value in values] + [key + whole for key in keys] + [b"a = 1\na = 2", b"\xff\xfe"]


def safetensors(whole: bytes) -> list[bytes]:
    """Headers of any size, tensors of other shapes, metadata of other types."""
    size = struct.unpack_from("<Q", whole)[0]
    header, data = json.loads(whole[8 : 8 + size]), whole[8 + size :]

    def holding(changed: Any) -> bytes:
        text = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
        return struct.pack("<Q", len(text)) + text + data

    about = json.loads(header["__metadata__"]["about"])
    others: dict[str, list[Any]] = {
        "step": [-1, "3", None, 1.5, 2**70], "seconds": ["x", None, []], "warnings": [["x"], 3, None, [1]],
        "history": [3, [[1]], [[1, "x"]], None, {"a": 1}], "quality": [[[1, None]], "xy", [1]],
    }  # fmt: skip
    abouts = [about | {name: value} for name, values in others.items() for value in values]
    abouts += [{name: value for name, value in about.items() if name != left} for left in about]
    texts = [json.dumps(one) for one in [*abouts, [], "x", None]] + ["[" * 10**5, "9" * 5000]
    changed: list[Any] = [header | {"__metadata__": {"about": text}} for text in texts]
    changed += [{name: value for name, value in header.items() if name != left} for left in header]
    changed += [b"[" * 10**5, b'{"a":' * 10**4, b"{}", b"", b"null"]
    turned = {"net.weight": header["net.weight"] | {"shape": [3, 2]}, "net.bias": header["net.bias"] | {"dtype": "I32"}}
    changed += [header | {name: value} for name, value in turned.items()]
    return [*map(holding, changed), struct.pack("<Q", 2**62) + data, struct.pack("<Q", 2**27) + data]


def plugins(whole: bytes) -> list[bytes]:
    """Files that raise at import whatever can be raised, and texts that are no Python."""
    texts = ["1 / 0", "raise SystemExit", "raise SystemExit(0)", "raise GeneratorExit", "raise BaseException('x')"]
    texts += [MUTE.replace("Exception", kind) for kind in ("Exception", "BaseException", "OSError")]
    texts += ["raise ValueError('a\\nb\\x1b[2J' * 10**5)", "raise MemoryError", "raise RecursionError", "def f(: pass"]
    texts += ["def f(): f()\nf()", "raise ExceptionGroup('g', [ValueError('a')])", "import no_such_package", "x = 1"]
    texts += ["(" * 10**4, "raise Warning", "raise StopIteration", "raise BrokenPipeError", "from bench import nothing"]
    texts += [f"{PLUGIN}    supervision = {value}" for value in ("'all'", "None", "[]", "1")]
    texts += [f"{PLUGIN}    outputs = {value}" for value in ("()", "None", "[1]")]
    return [text.encode() for text in texts] + [b"\xff\xfe", b"\0", b"x = '\xff'", b"# coding: nothing\n"]
