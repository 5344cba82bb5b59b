"""The size table of gpt-image-2, as the service's page has it (contract: Submit)."""

from __future__ import annotations

# Written out here, not imported: the emulator's own table is what is tested. Rows as in the service's page.
TABLE = """
1:1   1024x1024 2048x2048 -
3:2   1536x1024 2048x1360 -
2:3   1024x1536 1360x2048 -
4:3   -         2048x1536 -
3:4   -         1536x2048 -
5:4   -         2560x2048 -
4:5   -         2048x2560 -
16:9  -         2048x1152 3840x2160
9:16  -         1152x2048 2160x3840
2:1   -         2688x1344 3840x1920
1:2   -         1344x2688 1920x3840
21:9  -         2688x1152 3840x1648
9:21  -         1152x2688 1648x3840
"""
CELLS = [
    (ratio, tier, pixels)
    for ratio, *row in map(str.split, TABLE.split("\n")[1:-1])
    for tier, pixels in zip(("1K", "2K", "4K"), row, strict=True)
]

# The gaps of the table above, as newer tables fill them (contract: Submit, "Newer tables").
_FILLED = """
4:3  1K 1024x768
5:4  1K 1280x1024
16:9 1K 1536x864
2:1  1K 2048x1024
21:9 1K 2016x864
1:1  4K 2880x2880
3:2  4K 3520x2336
4:3  4K 3312x2480
5:4  4K 3216x2576
"""


def _mirrored(text: str, sign: str) -> str:
    return sign.join(reversed(text.split(sign)))


_ROWS = [line.split() for line in _FILLED.split("\n")[1:-1]]
FILLED_CELLS = sorted(
    {(ratio, tier, pixels) for ratio, tier, pixels in _ROWS}
    | {(_mirrored(ratio, ":"), tier, _mirrored(pixels, "x")) for ratio, tier, pixels in _ROWS}
)
"""Ratio, tier and pixels of the 17 cells that only an account with the full size table has."""
