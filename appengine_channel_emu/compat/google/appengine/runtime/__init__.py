"""The runtime's own exception (facts.md 8)."""


class DeadlineExceededError(BaseException):
    """Raised in the thread of a request whose time is up; a BaseException, so `except Exception` does not catch it."""

    def __str__(self):
        return "The overall deadline for responding to the HTTP request was exceeded."
