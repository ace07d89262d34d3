"""Text of strangers as every database, terminal and JSON takes it. Pure."""


def clean(text: str) -> str:
    """The text without NUL and without halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
