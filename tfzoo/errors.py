"""The error for invalid input."""


class InputError(ValueError):
    """A config, file or argument given by the user is invalid.

    The message is one line that names the key, the value and what is allowed. The command
    line prints it without a traceback and exits with status 2.
    """


_REPORTS = ("Exception encountered when calling", "in user code:")


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without TensorFlow's text on its own operations.

    For an error that Keras or AutoGraph embed in a report of its origin, the original message.
    """
    if error.__context__ is not None and str(error).startswith(_REPORTS):
        return first_line(error.__context__)
    message = getattr(error, "message", None)
    lines = [line.strip() for line in str(message or error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[0].rpartition("}} ")[2].partition(" [Op:")[0]
