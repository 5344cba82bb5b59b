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
