"""The mailbox for people: a list of mails and one mail, as plain HTML."""

from __future__ import annotations

from html import escape
from string import Template

from stack.mailbox.store import Mail

_LAYOUT = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .4rem .6rem; text-align: left; }
tr + tr { border-top: 1px solid #ccc; } pre { white-space: pre-wrap; } iframe { width: 100%; height: 24rem; }
</style></head><body>$body</body></html>""")


def list_page(mails: list[Mail]) -> str:
    """Write the list, newest first."""
    rows = "".join(
        f'<tr><td><a href="/view/{escape(mail.id)}">{escape(summary["Subject"]) or "(no subject)"}</a></td>'
        f"<td>{escape(', '.join(mail.recipients))}</td><td>{escape(summary['Created'][:19])}</td></tr>"
        for mail, summary in ((mail, mail.summary()) for mail in mails)
    )
    table = f"<table><tr><th>Subject</th><th>To</th><th>Received (UTC)</th></tr>{rows}</table>"
    return _LAYOUT.substitute(
        title="Mailbox", body="<h1>Mailbox</h1>" + (table if mails else "<p>No mail yet.</p>")
    )


def mail_page(mail: Mail) -> str:
    """Write one mail. Its HTML is shown in a frame that may run no scripts; links open in a new tab."""
    subject = escape(mail.summary()["Subject"])
    html = mail.text("html")
    framed = escape(f'<base target="_blank">{html}')
    frame = f'<iframe sandbox="allow-popups" title="Mail" srcdoc="{framed}"></iframe>' if html else ""
    body = (
        f'<p><a href="/">All mails</a></p><h1>{subject}</h1><p>To {escape(", ".join(mail.recipients))}</p>'
        f"{frame}<h2>Text</h2><pre>{escape(mail.text('plain'))}</pre>"
    )
    return _LAYOUT.substitute(title=subject, body=body)
