"""Seeded texts of every kind for the tokenizer: all scripts, emoji, marks, controls, spaces, special tokens, long ones."""
from __future__ import annotations

import random
import unicodedata

WORDS = (
    "a photo of the person sky building tree road car, dog's they're I've we'll she'd don't I'm 4k 8K 1920x1080 "
    "masterpiece, best quality; (blurry:1.2) [noisy] low-quality JPEG artifacts? yes! no!! wow... #tag @user "
    "http://example.com/?q=1&r=2 ADE20K traffic light background-wall, potted plant $9.99 50% C++ e.g. i.e. naïve "
    "café façade Übergröße œuvre smörgåsbord Ångström coöperate 3.14159 1,000,000 2026-01-31 12:34 ½ ² ³ ⅷ ①"
).split()
SCRIPTS = [
    (0xA0, 0x24F), (0x250, 0x2FF), (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x58F), (0x590, 0x5FF), (0x600, 0x6FF),
    (0x700, 0x7BF), (0x840, 0x8FF), (0x900, 0x97F), (0x980, 0x9FF), (0xA00, 0xAFF), (0xB00, 0xBFF), (0xC00, 0xCFF),
    (0xD00, 0xDFF), (0xE00, 0xEFF), (0xF00, 0xFFF), (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF),
    (0x1200, 0x139F), (0x13A0, 0x13FF), (0x1400, 0x16FF), (0x1780, 0x18AF), (0x1900, 0x1AFF), (0x1B00, 0x1CFF),
    (0x1D00, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x218F), (0x2190, 0x23FF), (0x2460, 0x27BF),
    (0x2C00, 0x2DFF), (0x2E80, 0x303F), (0x3040, 0x30FF), (0x3100, 0x33FF), (0x4E00, 0x9FFF), (0xA000, 0xA4CF),
    (0xA640, 0xA7FF), (0xA800, 0xABFF), (0xAC00, 0xD7FF), (0xF900, 0xFAFF), (0xFB00, 0xFDFF), (0xFE00, 0xFFFF),
    (0x10280, 0x104FF), (0x10570, 0x105FF), (0x10780, 0x10D8F), (0x10E80, 0x110FF), (0x11100, 0x113FF),
    (0x11400, 0x119FF), (0x11A00, 0x11FFF), (0x12000, 0x123FF), (0x13000, 0x1345F), (0x16100, 0x16FFF),
    (0x17000, 0x18DFF), (0x1B000, 0x1B2FF), (0x1D100, 0x1D7FF), (0x1E000, 0x1E9FF), (0x1EC00, 0x1EFFF),
    (0x1F000, 0x1FAFF), (0x20000, 0x2A6DF), (0x2F800, 0x2FA1F), (0x30000, 0x323AF), (0xE0000, 0xE01EF),
]
EMOJI = (
    "😀 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇫🇷 🇺🇸🇯🇵 1️⃣ #️⃣ 🏴󠁧󠁢󠁳󠁣󠁴󠁿 ❤️ ❤ ☺︎ 👨🏿‍🚀 🧑‍🤝‍🧑 🫠 🤷‍♀️ ©️ ™ 🐈‍⬛ 🅰️"
).split(" ")
MARKS = [*range(0x300, 0x370), 0x483, 0x5B0, 0x64B, 0x93C, 0x9BE, 0x9D7, 0xB57, 0xDCF, 0xE38, 0xF71, 0xF74, 0x102E,
         0x1161, 0x1175, 0x11A8, 0x11C2, 0x1AB0, 0x1B35, 0x1DC0, 0x20D0, 0x302A, 0x3099, 0x309A, 0xFE20, 0x10D69,
         0x110BA, 0x11127, 0x113B8, 0x113C9, 0x11930, 0x16129, 0x1D165, 0x1D16D, 0x1E4EC, 0x1E5EE]
BASES = [*map(ord, "aeiouAEIOUnNsSKkdD"), 0x391, 0x3A9, 0x418, 0x905, 0x9C7, 0xB47, 0xDD9, 0x1025, 0x1100, 0x1112,
         0xAC00, 0x304B, 0x30CF, 0x105D2, 0x11099, 0x11131, 0x11347, 0x11382, 0x113C2, 0x11935, 0x1611E, 0x16D67]
CASES = "İstanbul ı ΣΑΣ ς ẞ ß K Å ǅ Ǆ ῼ Ⓐ Ω ﬀ ŉ ǰ Ꭰ ꭰ ა Ა Ა ꟎ \U00016EA0 \U00010D50 \U00010400 \u2126 \u1E9B\u0323 \u0130\u0307".split(" ")
SPACES = [*"\t\n\x0b\x0c\r \x1c\x1d\x1e\x1f\x85\xa0\u1680\u180e\u2000\u2002\u2007\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"]
SPECIALS = ["<|startoftext|>", "<|endoftext|>", "<|STARTOFTEXT|>", "<|EndOfText|>", "<|startoftext|", "|endoftext|>", "<|pad|>",
            "!", "!!", "! !", "</w>", "a</w>", "<|", "|>", "<start_of_text>", "\u0120", "\u0120the", "<cat-toy>", "<CAT-TOY>", "Mood", "mood",
            "moody", " \t mood \n", "stripword", "  stripword  ", " stripword stripword ", "keepword", "keepwords", "a_keepword", "-keepword", "Keepword\u0301", "KEEPWORD"]
APOSTROPHES = ["'s", "'S", "''s", "'t", "'re", "'RE", "'ve", "'m", "'ll", "'LL", "'d", "'", "’s", "'st", "'lll", "x's!'s", "'\u017f"]


def characters(r: random.Random, low: int, high: int, count: int) -> str:
    points = (r.randint(low, high) for _ in range(count))
    return "".join(chr(p) for p in points if not 0xD800 <= p < 0xE000)


def piece(r: random.Random) -> str:
    kind = r.randrange(13)
    if kind == 0:
        return " ".join(r.choice(WORDS) for _ in range(r.randint(1, 8)))
    if kind == 1:
        return characters(r, *r.choice(SCRIPTS), r.randint(1, 12))
    if kind == 2:
        return r.choice(["", " "]).join(r.choice(EMOJI) for _ in range(r.randint(1, 4)))
    if kind == 3:
        return "".join(chr(r.choice(BASES)) + "".join(chr(r.choice(MARKS)) for _ in range(r.randint(0, 4))) for _ in range(r.randint(1, 5)))
    if kind == 4:
        return unicodedata.normalize(r.choice(["NFD", "NFC", "NFKD", "NFKC"]), characters(r, *r.choice(SCRIPTS), r.randint(1, 8)))
    if kind == 5:
        return characters(r, 0, 0x9F, r.randint(1, 8))
    if kind == 6:
        return "".join(r.choice(SPACES) for _ in range(r.randint(1, 5)))
    if kind == 7:
        return r.choice(SPECIALS)
    if kind == 8:
        return r.choice(["", "it", "IT", "é", "9"]) + r.choice(APOSTROPHES)
    if kind == 9:
        return r.choice(CASES)
    if kind == 10:
        return "".join(r.choice("0123456789.,-") for _ in range(r.randint(1, 9)))
    if kind == 11:
        return characters(r, 0x21, 0x7E, r.randint(1, 20))
    return characters(r, 0, 0x10FFFF, r.randint(1, 6))


def text(r: random.Random) -> str:
    kind = r.randrange(40)
    if kind == 0:
        return "".join(r.choice(SPACES) for _ in range(r.randint(0, 3)))
    if kind == 1:
        return " ".join(r.choice(WORDS) for _ in range(r.randint(60, 400)))
    if kind == 2:
        return (r.choice(["a", "ab", "é", "aaaaab", "漢", "😀", "-", "e\u0301"]) * 400)[: r.randint(100, 800)]
    if kind == 3:
        return characters(r, 0x61, 0x7A, r.randint(50, 300))
    return r.choice(["", " ", " ", "  "]).join(piece(r) for _ in range(r.randint(1, 6)))


def texts(count: int, seed: int) -> list[str]:
    """The same texts for the same seed, the empty one first."""
    r = random.Random(seed)
    return [""] + [text(r) for _ in range(count - 1)]


def every_character(per_text: int) -> list[str]:
    """Texts in which each code point stands between letters, and after a space, once. Of the long uniform stretches
    (ideographs, private use, what is not assigned) every 97th stands for the rest."""
    stretches = [(0x3400, 0x9FFF), (0xAC10, 0xD790), (0xE000, 0xF8FF), (0x17000, 0x18CFF), (0x1FC00, 0xDFFFF), (0xE0200, 0x10FFFF)]
    uniform = [any(low <= p <= high for low, high in stretches) for p in range(0x110000)]
    points = [p for p in range(0x110000) if not 0xD800 <= p < 0xE000 and (not uniform[p] or p % 97 == 0)]
    return ["".join(f"a{chr(p)}e {chr(p)}" for p in points[i : i + per_text]) for i in range(0, len(points), per_text)]
