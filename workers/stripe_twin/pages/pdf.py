"""Writes a page of text as a PDF file, for the twin's invoices: one font, no pictures, nothing to install.

Source: ISO 32000-1, section 7.5 (file structure) and 9.4 (text).
"""

from __future__ import annotations

from collections.abc import Sequence

_LEFT, _TOP, _STEP = 56, 780, 18
_LINES_A_PAGE = 40


def text_pdf(title: str, lines: Sequence[str]) -> bytes:
    """Return a PDF with a title and lines of text, on as many A4 pages as they need.

    Args:
        title: Set larger, at the top of the first page.
        lines: The text; characters beyond Windows-1252 become question marks.
    """
    chunks = [lines[at : at + _LINES_A_PAGE] for at in range(0, max(len(lines), 1), _LINES_A_PAGE)]
    contents = [_content(title if not index else "", chunk) for index, chunk in enumerate(chunks)]
    pages = [4 + 2 * index for index in range(len(chunks))]
    kids = " ".join(f"{page} 0 R" for page in pages)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for page, content in zip(pages, contents, strict=True):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> "
            + f"/Contents {page + 1} 0 R >>".encode()
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream")
    return _file(objects)


def _content(title: str, lines: Sequence[str]) -> bytes:
    parts = [b"BT", f"{_LEFT} {_TOP} Td".encode(), b"/F1 18 Tf", _shown(title), b"/F1 11 Tf"]
    for line in lines:
        parts += [f"0 -{_STEP} Td".encode(), _shown(line)]
    return b"\n".join([*parts, b"ET"])


def _shown(text: str) -> bytes:
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return b"(" + escaped.encode("cp1252", errors="replace") + b") Tj"


def _file(objects: Sequence[bytes]) -> bytes:
    body = b"%PDF-1.4\n"
    places = []
    for number, item in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n".encode() + item + b"\nendobj\n"
    table = b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    size = len(objects) + 1
    return (
        body
        + f"xref\n0 {size}\n".encode()
        + b"0000000000 65535 f \n"
        + table
        + f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n".encode()
    )
