"""Findings for the administrator, as data: a key of the catalogue and its detail."""

from attrs import frozen

from autodial import texts


@frozen
class Finding:
    """One finding."""

    key: str
    detail: str
    serious: bool  #: the dialler cannot work fully

    def sentence(self, language: texts.Language) -> str:
        return texts.text(self.key, language, detail=self.detail)
