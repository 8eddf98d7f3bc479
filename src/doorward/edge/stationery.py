"""Letters from templates. Answers `hall.doors.Stationery`."""

from doorward.edge.languages import DEFAULT, LANGUAGES, tag_of
from doorward.edge.templates import Templates
from doorward.hall.model import Letter


class Letters:
    """Writes letters in the reader's language."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    def letter(self, template: str, recipient: str, language: str, **values: object) -> Letter:
        """Render `templates/<template>.txt` (first line: the subject) and, where there is one, `.html`."""
        chosen = language if language in LANGUAGES else DEFAULT
        given = {"language_tag": tag_of(chosen), **values}
        subject, _, text = self._templates.render(f"{template}.txt", chosen, **given).strip().partition("\n")
        html = ""
        if self._templates.has(f"{template}.html"):
            html = self._templates.render(f"{template}.html", chosen, subject=subject, **given)
        return Letter(recipient=recipient, subject=_one_line(subject), text=text.strip() + "\n", html=html)


def _one_line(subject: str) -> str:
    """A subject can't hold a line break, so that no value can add a header to the mail."""
    return " ".join(subject.split())[:200]
