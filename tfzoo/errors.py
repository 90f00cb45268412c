"""The one error that means "what you gave is wrong"."""


class InputError(ValueError):
    """A config, a file or an argument of the user's is wrong.

    The message is one line that names the key, the value and what is allowed. The command
    line prints it without a traceback and exits with status 2.
    """
