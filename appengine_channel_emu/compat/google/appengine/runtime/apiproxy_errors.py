"""Errors of API calls, as far as channels need them."""


class Error(Exception):
    """The base of all of them."""


class RPCFailedError(Error):
    """The service could not be reached, or did not answer as it should."""


class DeadlineExceededError(Error):
    """A call took too long. Not `google.appengine.runtime.DeadlineExceededError`, which ends a request."""


class OverQuotaError(Error):
    """A quota is used up."""


class ApplicationError(Error):
    """A service refused a call; `application_error` is its code, `error_detail` its text."""

    def __init__(self, application_error, error_detail=""):
        Error.__init__(self, application_error, error_detail)
        self.application_error = application_error
        self.error_detail = error_detail

    def __str__(self):
        return "ApplicationError: %d %s" % (self.application_error, self.error_detail)
