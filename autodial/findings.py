"""What an administrator should know, as data: a key of the catalogue and what goes into it."""

from attrs import frozen

from autodial import texts


@frozen
class Finding:
    """One thing an administrator should know."""

    key: str
    detail: str
    serious: bool  #: the dialler cannot do its whole work

    def sentence(self, language: texts.Language) -> str:
        return texts.text(self.key, language, detail=self.detail)
