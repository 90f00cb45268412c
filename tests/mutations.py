"""Random mutations of bytes, for the fuzz tests."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

OFTEN = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def mutated(data):
    """Changes, truncates or duplicates some of its bytes."""

    def change(edits, end, again):
        changed = bytearray(data)
        for place, value in edits:
            changed[place % len(changed)] = value
        if end % 3 == 0:
            changed = changed[: end % (len(changed) + 1)]
        return bytes(changed) * (2 if again else 1)

    edit = st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255))
    return st.builds(
        change, st.lists(edit, min_size=1, max_size=12), st.integers(0, len(data)), st.booleans()
    )
