"""The pictures: exact sizes, the same again, different for others, legible in any script."""

from __future__ import annotations

import asyncio
import io
import struct
import threading
import zlib

import pytest
from PIL import Image

from airflow_provider_gptimg.emulator.painting import painter, text_layout
from airflow_provider_gptimg.emulator.painting.motifs import MOTIFS
from airflow_provider_gptimg.emulator.painting.renderer import Picture, Renderer
from tests.support.emulator_cells import CELLS


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def points(image: Image.Image) -> list[bytes]:
    """The RGB values, one by one."""
    raw = image.convert("RGB").tobytes()
    return [raw[position : position + 3] for position in range(0, len(raw), 3)]


def small(prompt: str = "a red fox", **changes) -> Picture:
    return Picture(**{"prompt": prompt, "label": "gpt-image-2", "pixels": (256, 192), **changes})


@pytest.mark.parametrize(("ratio", "tier", "pixels"), [cell for cell in CELLS if cell[2] != "-"])
def test_exact_sizes(service, ratio, tier, pixels):
    (url,) = service.urls(size=ratio, resolution=tier)
    reply = service.get(url)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "image/png"
    assert int(reply.headers["Content-Length"]) == len(reply.body)
    image = opened(reply.body)
    assert (image.format, f"{image.width}x{image.height}") == ("PNG", pixels)


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"model": "gpt-image-2.5-flare-vip", "size": "1536x1024"}, (1536, 1024)),
        ({"model": "gpt-image-2.5-sunburst-vip", "size": "256x3840"}, (256, 3840)),
        ({"model": "gpt-image-2.5-sunburst-vip", "size": "3840x256"}, (3840, 256)),
        ({"model": "gpt-image-2-vip", "size": "4:3"}, (1024, 768)),
    ],
)
def test_sizes_of_sister_models(service, fields, size):
    (url,) = service.urls(**fields)
    assert opened(service.get(url).body).size == size


def test_several_images_differ(service):
    bodies = [service.get(url).body for url in service.urls(n=3)]
    assert len(set(bodies)) == 3


def test_caching(service):
    (url,) = service.urls()
    first = service.get(url)
    assert "max-age" in first.headers["Cache-Control"]
    again = service.get(url, **{"If-None-Match": f'"other", W/{first.headers["ETag"]}'})
    assert (again.status, again.body) == (304, b"")
    assert service.get(url, **{"If-None-Match": '"other"'}).body == first.body
    assert service.remote.ledger()["requests"]["download"] == 3


def test_images_are_there_only_after_completion(service, slow):
    generation_id = service.submit().json["id"]
    assert service.get(f"/files/results/{generation_id}/0.png").status == 404
    slow.advance(1001)
    assert service.get(f"/files/results/{generation_id}/0.png").status == 200


def test_the_same_description_gives_the_same_bytes():
    assert painter.paint(small()) == painter.paint(small())


@pytest.mark.parametrize("change", [{"prompt": "a blue fox"}, {"seed": 1}, {"index": 1}])
def test_another_description_gives_another_picture(change):
    first, second = opened(painter.paint(small())), opened(painter.paint(small(**change)))
    pairs = zip(points(first.resize((32, 24))), points(second.resize((32, 24))), strict=True)
    differ = sum(max(abs(a - b) for a, b in zip(*pair, strict=True)) > 24 for pair in pairs)
    assert differ > 32 * 24 / 4  # visibly: a quarter of the picture at least


def test_every_motif_fills_every_shape(monkeypatch):
    for motif in MOTIFS:
        monkeypatch.setattr(painter, "MOTIFS", (motif,))
        for pixels in ((256, 256), (200, 480), (480, 200)):
            image = opened(painter.paint(small(motif.__name__, pixels=pixels)))
            assert image.size == pixels
            assert len(image.getcolors(100_000)) > 16


@pytest.mark.parametrize(
    "prompt",
    [
        "word",
        "first line\n\nthird line\tand a tab",
        "the quick brown fox " * 1600,
        "x" * 32_000,
        "狐" * 32_000,
        "一只红狐狸在雪地里 🦊 ❄️ naïve café",
        "Лиса в снегу, αλεπού, ثعلب, שועל",
        "\x00\x07\u200d",
        "\U0010ffff",
    ],
    ids=lambda prompt: ascii(prompt[:12]),
)
@pytest.mark.parametrize("pixels", [(256, 256), (192, 448)])
def test_any_prompt_can_be_lettered(prompt, pixels):
    assert opened(painter.paint(small(prompt, pixels=pixels))).size == pixels


def test_letters_that_no_font_has_are_named(monkeypatch):
    monkeypatch.setattr(text_layout, "font_for", lambda character: "" if character.isascii() else None)
    assert text_layout.legible("a 🦊!") == "a [fox face]!"
    assert text_layout.legible("红狐狸 runs") == "[3 CJK] runs"
    assert text_layout.legible("Лиса\u200d") == "[4 CYRILLIC]"


def test_text_is_fitted():
    short = text_layout.fit("owl", 500, 200, largest=40, smallest=10)
    assert (short.lines, short.size, short.complete) == (("owl",), 40, True)
    longer = text_layout.fit("the quick brown fox jumps over the lazy dog " * 5, 500, 200, 40, 10)
    assert longer.complete
    assert 10 <= longer.size < 40
    assert longer.height <= 200
    assert longer.width <= 500
    cut = text_layout.fit("word " * 3000, 500, 200, 40, 10)
    assert not cut.complete
    assert cut.lines[-1].endswith("…")
    assert cut.height <= 200


def test_a_transparent_background(service):
    fields = {"model": "gpt-image-2.5-flare", "background": "transparent"}
    (url,) = service.urls(**fields)
    image = opened(service.get(url).body)
    assert image.mode == "RGBA"
    assert image.getpixel((2, 2))[3] == 0
    assert image.getpixel((512, 300))[3] == 255


def test_an_uploaded_reference_picture_is_shown(service):
    buffer = io.BytesIO()
    Image.new("RGB", (400, 300), (255, 0, 255)).save(buffer, "JPEG")
    reference = service.upload(buffer.getvalue()).json["data"]["url"]
    with_it, without = service.urls(reference_images=[reference]), service.urls()
    first, second = (opened(service.get(urls[0]).body) for urls in (with_it, without))

    def magenta(image: Image.Image) -> int:
        return sum(red > 220 and green < 40 and blue > 220 for red, green, blue in points(image))

    assert magenta(first) > 20_000
    assert magenta(second) < 100


@pytest.mark.parametrize("inset", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff broken"])
def test_a_broken_reference_picture_is_left_out(inset):
    assert opened(painter.paint(small(inset=inset))).size == (256, 192)


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int, *chunks: bytes) -> bytes:
    """Return a PNG that says it has such a size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks) + chunk(b"IEND", b"")


STRANGE = {
    "far too large": png_of(60_000, 60_000),
    "larger than Pillow likes": png_of(10_000, 10_000),
    "cut header": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\x00\x00"),
    "short chunk": png_of(8, 8, chunk(b"pHYs", b"\x00"), chunk(b"IDAT", zlib.compress(b"\x00" * 200))),
    "odd EXIF": png_of(8, 8, chunk(b"eXIf", b"II*\x00"), chunk(b"IDAT", zlib.compress(b"\x00" * 200))),
    "GIF without an end": b"GIF89a" + b"\xff" * 40,
    "odd WebP": b"RIFF\x10\x00\x00\x00WEBPVP8 " + b"\x00" * 30,
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("inset", STRANGE.values(), ids=STRANGE)
def test_a_strange_upload_makes_no_paid_image_undownloadable(service, inset):
    reference = service.upload(inset)
    assert reference.status == 200
    (url,) = service.urls(reference_images=[reference.json["data"]["url"]])
    assert opened(service.get(url).body).size == (1024, 1024)


def test_a_picture_stays_what_it_was_when_the_seed_changes(service):
    (url,) = service.urls()
    before = service.get(url)
    service.remote.configure(seed=99)
    after = service.get(url)
    assert (after.body, after.headers["ETag"]) == (before.body, before.headers["ETag"])
    (another,) = service.urls()
    assert service.get(another).body != before.body


def test_a_picture_is_painted_once_for_all_who_ask(monkeypatch):
    painted = []

    def paint(picture: Picture) -> bytes:
        painted.append((picture.prompt, threading.current_thread() is threading.main_thread()))
        return picture.prompt.encode() * 100

    monkeypatch.setattr(painter, "paint", paint)

    async def scenario() -> None:
        renderer = Renderer(capacity=250)
        assert set(await asyncio.gather(*(renderer.png(small("a")) for _ in range(5)))) == {b"a" * 100}
        await renderer.png(small("b"))
        await renderer.png(small("a"))
        await renderer.png(small("c"))  # no room for three: the one not used for longest goes
        await renderer.png(small("a"))
        await renderer.png(small("b"))

    asyncio.run(scenario())
    assert painted == [(prompt, False) for prompt in "abcb"]
